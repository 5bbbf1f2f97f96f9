import { HallpassProblem, HallpassUnreachable } from './problem.ts';
import { checkedUrl, type FetchAnswer, type TransportOptions } from './transport.ts';

export interface LogReaderOptions extends TransportOptions {
  /** Null: the log is public, or read for its checkpoint alone. */
  readonly token: (() => Promise<string>) | null;
}

/** Reads the log of a broker, or any log of that form at the same place, below `/audit/log/`. */
export interface LogReader {
  /** The resource at a path below the log's prefix; null when there is none. Rejects as the client does. */
  read(path: string): Promise<Uint8Array | null>;
}

/** Waits before an attempt is repeated, when the server does not say how long: doubled each time. */
const FIRST_WAIT_MS = 250;
const ATTEMPTS = 8;

export function createLogReader(options: LogReaderOptions): LogReader {
  const base = checkedUrl(options);
  const {
    fetch = globalThis.fetch,
    sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
  } = options;

  async function attempt(path: string): Promise<FetchAnswer> {
    const token = await options.token?.();
    try {
      return await fetch(new URL(`${base.pathname.replace(/\/$/, '')}/audit/log/${path}`, base), {
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
        redirect: 'error',
        signal: AbortSignal.timeout(options.timeoutMs ?? 30_000),
      });
    } catch (error) {
      throw new HallpassUnreachable(base.origin, error);
    }
  }

  return {
    async read(path) {
      for (let count = 1; ; count++) {
        const answer = await attempt(path);
        if (answer.ok) return new Uint8Array(await answer.arrayBuffer());
        await answer.body?.cancel();
        if (answer.status === 404) return null;
        const again = answer.status === 429 || answer.status === 503;
        if (!again || count === ATTEMPTS) throw refused(answer.status, path);
        await sleep(
          Math.max(FIRST_WAIT_MS * 2 ** (count - 1), 1000 * Number(answer.headers.get('retry-after') ?? 0)),
        );
      }
    },
  };
}

function refused(status: number, path: string): HallpassProblem {
  const code = status === 401 ? 'unauthenticated' : status === 403 ? 'not-allowed' : 'unexpected-answer';
  return new HallpassProblem({
    code,
    status,
    title: `Cannot read "${path}" of the log: the answer is ${status}`,
  });
}
