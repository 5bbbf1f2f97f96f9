import { createHmac } from 'node:crypto';
import type { Runtime } from '../runtime.ts';
import { Refused, SinkError } from './sink.ts';

/** Bytes of an answer that are read: receivers say little. */
const MAX_ANSWER_BYTES = 65_536;

export interface PostAnswer {
  readonly status: number;
  readonly text: string;
}

/**
 * Posts, without following redirects. Any 2xx counts as received. Throws `Refused` where the other side will not take
 * it however often it comes (RFC 9110, section 15.5; 408 and 429 ask to be tried again), `SinkError` for all else.
 */
export async function post(
  { fetch }: Pick<Runtime, 'fetch'>,
  url: string,
  request: { readonly headers: Readonly<Record<string, string>>; readonly body: string },
  signal: AbortSignal,
): Promise<PostAnswer> {
  const answer = await fetch(url, { method: 'POST', ...request, redirect: 'error', signal });
  const text = await readText(answer);
  if (answer.ok) return { status: answer.status, text };
  const { status } = answer;
  const isFinal = status >= 400 && status < 500 && status !== 408 && status !== 429;
  if (isFinal) throw new Refused(`It answered ${status}`);
  throw new SinkError(`It answered ${status}`, retryAfterMs(answer.headers.get('retry-after')));
}

/** `t=SECONDS,v1=HEX`, the HMAC-SHA-256 of `SECONDS.BODY`: proves who sent a body, and when. */
export function signatureOf(body: string, secret: string, now: number): string {
  const seconds = Math.floor(now / 1000);
  const mac = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${mac}`;
}

/** `Retry-After` in seconds (RFC 9110, section 10.2.3); a date is left to our own waits. */
function retryAfterMs(header: string | null): number | undefined {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined;
}

async function readText(answer: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_ANSWER_BYTES) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
