import autocannon from 'autocannon';
import type { Dispatcher } from 'undici';

/** What a load came to. Latencies are milliseconds. */
export interface Load {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly failures: number;
}

/** GETs an address again and again. */
export async function loadEmpty(url: string, connections: number, seconds: number): Promise<Load> {
  const result = await autocannon({ url, connections, duration: seconds });
  return {
    perSecond: result.requests.average,
    p50: result.latency.p50,
    p99: result.latency.p99,
    failures: result.non2xx + result.errors,
  };
}

/** For how long a broker works before it is measured: one that runs for weeks has long compiled what it runs. */
export const WARM_UP_SECONDS = 20;

/** What lifecycles came to: opening a task, and completing it. */
export interface Lifecycles {
  readonly perSecond: number;
  readonly failures: number;
  readonly open: Load;
  readonly complete: Load;
}

/** Opens a task and completes it, again and again, on each connection. */
export async function loadLifecycles(
  url: string,
  token: string,
  grant: string,
  connections: number,
  seconds: number,
): Promise<Lifecycles> {
  return measure(url, token, grant, connections, async (runOne) => {
    const deadline = performance.now() + seconds * 1000;
    async function again(): Promise<void> {
      while (performance.now() < deadline) await runOne();
    }
    await Promise.all(Array.from({ length: connections }, again));
  });
}

/** The same, once it is warm. */
export async function loadWarm(
  ...[url, token, grant, connections, seconds]: Parameters<typeof loadLifecycles>
): Promise<Lifecycles> {
  await loadLifecycles(url, token, grant, connections, WARM_UP_SECONDS);
  return loadLifecycles(url, token, grant, connections, seconds);
}

/** Begins a lifecycle `perSecond` times a second, however long each takes. */
export async function loadAtRate(
  url: string,
  token: string,
  grant: string,
  perSecond: number,
  seconds: number,
): Promise<Lifecycles> {
  return measure(url, token, grant, 64, (runOne) => atRate(perSecond, seconds, runOne));
}

/** Begins something `perSecond` times a second, however long each takes; resolves when all of it has ended. */
async function atRate(perSecond: number, seconds: number, runOne: () => Promise<void>): Promise<void> {
  const running: Promise<void>[] = [];
  const begun = performance.now();
  for (let n = 0; n < perSecond * seconds; n++) {
    const wait = begun + (n * 1000) / perSecond - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    running.push(runOne());
  }
  await Promise.all(running);
}

/** Does something at this rate, and times it. */
export async function timeAtRate(
  perSecond: number,
  seconds: number,
  work: () => Promise<unknown>,
): Promise<Load> {
  const times: number[] = [];
  await atRate(perSecond, seconds, async () => {
    const before = performance.now();
    await work();
    times.push(performance.now() - before);
  });
  return summary(times, seconds);
}

async function measure(
  url: string,
  token: string,
  grant: string,
  connections: number,
  drive: (runOne: () => Promise<void>) => Promise<void>,
): Promise<Lifecycles> {
  const open: number[] = [];
  const complete: number[] = [];
  let failures = 0;
  const { Agent } = await import('undici');
  const agent = new Agent({ connections, pipelining: 1 });
  const ask = JSON.stringify({ grant, task: 'bench' });

  async function post(path: string, body: string, bearer: string, times: number[]): Promise<string | null> {
    const before = performance.now();
    const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' };
    const { status, text } = await send(agent, { origin: url, path, method: 'POST', headers, body });
    times.push(performance.now() - before);
    if (status < 300) return text;
    failures++;
    if (failures === 1) process.stderr.write(`first failure: ${status} ${text}\n`);
    return null;
  }

  const startedAt = performance.now();
  await drive(async () => {
    const opened = await post('/v1/tasks', ask, token, open);
    if (opened === null) return;
    const { task, token: bearer } = JSON.parse(opened) as { task: { id: string }; token: string };
    await post(`/v1/tasks/${task.id}/complete`, '{}', bearer, complete);
  });
  const elapsed = (performance.now() - startedAt) / 1000;
  await agent.close();
  return {
    perSecond: complete.length / elapsed,
    failures,
    open: summary(open, elapsed),
    complete: summary(complete, elapsed),
  };
}

/** Sends a request and reads its answer without undici's streams, which would cost the load more than the rest of it. */
function send(
  agent: Dispatcher,
  request: Dispatcher.DispatchOptions,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let status = 0;
    agent.dispatch(request, {
      onRequestStart() {},
      onResponseStart(_controller, statusCode) {
        status = statusCode;
      },
      onResponseData(_controller, chunk) {
        chunks.push(chunk);
      },
      onResponseEnd() {
        resolve({ status, text: Buffer.concat(chunks).toString() });
      },
      onResponseError(_controller, error) {
        reject(error);
      },
    });
  });
}

function summary(times: number[], elapsed: number): Load {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { perSecond: sorted.length / elapsed, p50: at(0.5), p99: at(0.99), failures: 0 };
}
