import { HallpassError, ProviderError } from './errors.ts';
import { ofNodeCode } from './node-errors.ts';
import type { Runtime } from './runtime.ts';

/** What Node's own fetch takes as `dispatcher`. */
type Dispatcher = NonNullable<RequestInit['dispatcher']>;

/** One request to a target. */
export interface OutboundRequest {
  readonly method: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface OutboundResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** HTTP to one target: connections of its own, no redirects, bodies that are bounded, errors that are ours. */
export interface Outbound {
  /**
   * Throws ProviderError: `target-timeout` when the signal aborts, `target-refused` when the server's certificate is not
   * accepted, since nothing was sent then, and `target-unreachable` for all else that is no answer.
   */
  send(doing: string, request: OutboundRequest, signal: AbortSignal): Promise<OutboundResponse>;
  close(): Promise<void>;
}

/** Bytes of an answer: secrets and certificates are a few thousand. */
const MAX_BODY_BYTES = 1024 * 1024;

/** `ca` is PEM that signs the server; without it, what Node.js trusts. */
export function createOutbound(runtime: Runtime, tls: { readonly ca?: string | undefined } = {}): Outbound {
  let agent: Promise<Dispatcher> | null = null;
  return {
    async send(doing, { method, url, headers = {}, body }, signal) {
      if (signal.aborted) throw gaveUp(doing, signal.reason);
      agent ??= createAgent(tls.ca);
      try {
        const response = await runtime.fetch(url, {
          method,
          headers,
          redirect: 'manual',
          signal,
          dispatcher: await agent,
          ...(body === undefined ? {} : { body }),
        });
        return { status: response.status, headers: response.headers, text: await readText(response) };
      } catch (error) {
        throw signal.aborted ? gaveUp(doing, signal.reason) : noAnswer(doing, error);
      }
    },
    async close() {
      await (await agent)?.destroy();
    },
  };
}

/** Undici's own types and those that Node brings describe the same interface in two versions. */
async function createAgent(ca: string | undefined): Promise<Dispatcher> {
  const { Agent } = await import('undici');
  const agent = new Agent({ connect: { timeout: 10_000, ...(ca === undefined ? {} : { ca }) } });
  return agent as unknown as Dispatcher;
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_BODY_BYTES) throw new HallpassError('target-failed', 'the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function gaveUp(doing: string, cause: unknown): ProviderError {
  return new ProviderError('target-timeout', `Cannot ${doing}: no answer in time`, { cause });
}

/** A network error's code says what happened; its message may quote what was sent. */
function noAnswer(doing: string, error: unknown): ProviderError {
  if (error instanceof HallpassError)
    return new ProviderError('target-failed', `Cannot ${doing}: ${error.message}`);
  const code = codeOf(error);
  const refused = code !== undefined && ofNodeCode(code) === 'target-refused';
  return new ProviderError(
    refused ? 'target-refused' : 'target-unreachable',
    `Cannot ${doing}: ${refused ? "the server's certificate is not accepted" : 'no answer'}${code ? ` (${code})` : ''}`,
    code === undefined ? {} : { vendorCode: code },
  );
}

function codeOf(error: unknown): string | undefined {
  for (let e = error; e instanceof Error; e = e.cause) {
    if ('code' in e && typeof e.code === 'string') return e.code;
  }
  return undefined;
}
