import type { Result } from '../result.ts';
import { err, ok } from '../result.ts';
import { type JsonBounds, parseStrictJson } from './strict-json.ts';
import type { Fault } from './wire.ts';

/**
 * The JSON body of a request, whatever its transfer coding; a body that is empty is `{}`.
 * Nothing is buffered past `maxBodyBytes`.
 */
export async function readJsonBody(
  request: Request,
  bounds: JsonBounds & { readonly maxBodyBytes: number },
): Promise<Result<unknown, Fault>> {
  const bytes = await readBytes(request, bounds.maxBodyBytes);
  if (!bytes.ok) return bytes;
  if (bytes.value.byteLength === 0) return ok({});
  if (!isPlainJson(request.headers)) return err({ code: 'unsupported-media-type' });
  const text = textOf(bytes.value);
  if (!text.ok) return text;
  const parsed = parseStrictJson(text.value, bounds);
  return parsed.ok ? parsed : err({ code: 'invalid-request', detail: parsed.error });
}

/** The text of a request's body. Nothing is buffered past `maxBytes`. */
export async function readUtf8(request: Request, maxBytes: number): Promise<Result<string, Fault>> {
  const bytes = await readBytes(request, maxBytes);
  return bytes.ok ? textOf(bytes.value) : bytes;
}

function textOf(bytes: Uint8Array): Result<string, Fault> {
  const text = decodeUtf8(bytes);
  return text === null ? err({ code: 'unsupported-media-type', detail: 'The body is not UTF-8' }) : ok(text);
}

function isPlainJson(headers: Headers): boolean {
  const type = headers.get('content-type') ?? '';
  const coding = headers.get('content-encoding');
  return (
    /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(type) &&
    (coding === null || coding === 'identity')
  );
}

async function readBytes(request: Request, maxBytes: number): Promise<Result<Uint8Array, Fault>> {
  const tooLarge = err<Fault>({ code: 'too-large', detail: `Bodies are bounded at ${maxBytes} bytes` });
  const declared = request.headers.get('content-length');
  try {
    if (declared !== null) {
      if (!(Number(declared) <= maxBytes)) return tooLarge;
      const bytes = new Uint8Array(await request.arrayBuffer());
      return bytes.byteLength > maxBytes ? tooLarge : ok(bytes);
    }
    return (await readStream(request.body, maxBytes)) ?? tooLarge;
  } catch {
    // The client went away, or was too slow and was cut off: there is nobody left to read the answer.
    return err({ code: 'invalid-request', detail: 'The body ended before it was complete' });
  }
}

/** Null when there is more than `maxBytes`. */
async function readStream(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
): Promise<Result<Uint8Array, Fault> | null> {
  if (!body) return ok(new Uint8Array());
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return ok(Buffer.concat(chunks, size));
    size += value.byteLength;
    if (size > maxBytes) {
      reader.cancel().catch(() => {});
      return null;
    }
    chunks.push(value);
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}
