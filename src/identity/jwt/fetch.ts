import { err, ok, type Result } from '../../result.ts';
import type { Runtime } from '../../runtime.ts';

/** What Node's own fetch takes as `dispatcher`. */
type Dispatcher = NonNullable<RequestInit['dispatcher']>;

/** Fetches a JSON document, or says in words for the operator why there is none. Never throws, never follows a redirect. */
export type GetJson = (
  url: string,
  maxBytes: number,
  signal: AbortSignal,
) => Promise<Result<unknown, string>>;

/** `ca`: PEM certificates to trust instead of the usual roots. */
export function createGetJson(
  runtime: Runtime,
  ca: string | undefined,
  authorization?: () => Promise<Result<string, string>>,
): GetJson {
  const send = createSend(runtime, ca);
  return async (url, maxBytes, signal) => {
    const proof = await authorization?.();
    if (proof && !proof.ok) return proof;
    const headers = { accept: 'application/json', ...(proof && { authorization: proof.value }) };
    const answer = await send(url, { headers, signal }, maxBytes);
    return answer.ok ? parseJson(answer.value) : answer;
  };
}

/** A bounded request whose answer must be one of `statuses`. Never throws, never follows a redirect. */
export type Send = (
  url: string,
  init: {
    readonly method?: string;
    readonly headers: Record<string, string>;
    readonly body?: string;
    readonly signal: AbortSignal;
  },
  maxBytes: number,
  statuses?: readonly number[],
) => Promise<Result<Answer, string>>;

export interface Answer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** `ca`: PEM certificates to trust instead of the usual roots. */
export function createSend(runtime: Runtime, ca: string | undefined): Send {
  let dispatcher: Promise<Dispatcher> | undefined;
  return async (url, init, maxBytes, statuses = [200]) => {
    try {
      if (ca !== undefined) dispatcher ??= createDispatcher(ca);
      const response = await runtime.fetch(url, {
        redirect: 'manual',
        ...init,
        ...(dispatcher && { dispatcher: await dispatcher }),
      });
      return await readAnswer(response, maxBytes, statuses);
    } catch (error) {
      return err(describe(error));
    }
  };
}

/**
 * Loaded only where a CA is configured: Node's own fetch serves all others.
 * The package's types and those that Node brings describe the same interface in two versions.
 */
async function createDispatcher(ca: string): Promise<Dispatcher> {
  const { Agent } = await import('undici');
  return new Agent({ connect: { ca } }) as unknown as Dispatcher;
}

async function readAnswer(
  response: Response,
  maxBytes: number,
  statuses: readonly number[],
): Promise<Result<Answer, string>> {
  if (!statuses.includes(response.status)) {
    await response.body?.cancel();
    const redirected = response.status >= 300 && response.status < 400;
    return err(
      redirected
        ? 'the answer is a redirect, which is not followed'
        : `the answer is HTTP ${response.status}`,
    );
  }
  const body = await readBody(response, maxBytes);
  return body ? ok({ status: response.status, body }) : err(`the answer is larger than ${maxBytes} bytes`);
}

export function parseJson({ body }: Pick<Answer, 'body'>): Result<unknown, string> {
  try {
    return ok(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)));
  } catch {
    return err('the answer is not JSON');
  }
}

/** The body after decompression, or null when it is larger than it may be; the rest is then not read. */
async function readBody(response: Response, maxBytes: number): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > maxBytes) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** A network error's code says what happened; its message may quote what the other side sent. */
function describe(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' ? `no answer (${code})` : 'no answer';
}
