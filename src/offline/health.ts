import { createOutbound } from '../outbound.ts';
import { type Runtime, withDeadline } from '../runtime.ts';
import { HEALTH_ATTEMPTS, HEALTH_PAUSE_MS, HEALTH_TIMEOUT_MS } from './limits.ts';

/** Whether the broker answers that it is ready. It is asked several times, and one yes counts. */
export async function isReady(runtime: Runtime, url: string, ca: string | null): Promise<boolean> {
  const outbound = createOutbound(runtime, ca === null ? {} : { ca });
  try {
    for (let attempt = 1; ; attempt++) {
      if (await answers(runtime, outbound, url)) return true;
      if (attempt === HEALTH_ATTEMPTS) return false;
      await runtime.sleep(HEALTH_PAUSE_MS);
    }
  } finally {
    await outbound.close();
  }
}

async function answers(
  runtime: Runtime,
  outbound: ReturnType<typeof createOutbound>,
  url: string,
): Promise<boolean> {
  try {
    const { status, text } = await withDeadline(runtime, HEALTH_TIMEOUT_MS, (signal) =>
      outbound.send('ask whether the broker is ready', { method: 'GET', url: `${url}/readyz` }, signal),
    );
    // A proxy of the network that answers everything in the broker's place is no broker.
    return status === 429 || (status === 200 && /"ready":\s*true/.test(text));
  } catch {
    return false;
  }
}
