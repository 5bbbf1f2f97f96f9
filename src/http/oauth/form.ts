import { err, ok, type Result } from '../../result.ts';
import { readUtf8 } from '../body.ts';
import { type OAuthFault, wireFault } from './fault.ts';

/** The parameters of a request, each with its values. */
export type Form = ReadonlyMap<string, readonly string[]>;

const MAX_PARAMETERS = 50;

/** These may stand more than once (RFC 8693, section 2.1); all others may not (RFC 6749, section 3.2). */
const REPEATABLE = new Set(['resource', 'audience']);

/**
 * A form-encoded body, read strictly. What has no value counts as absent, and names that nobody knows are for whoever
 * reads the form to ignore (RFC 6749, section 3.2).
 */
export async function readForm(
  request: Request,
  bounds: { readonly maxBodyBytes: number },
): Promise<Result<Form, OAuthFault>> {
  const type = request.headers.get('content-type') ?? '';
  const coding = request.headers.get('content-encoding') ?? 'identity';
  if (
    !/^application\/x-www-form-urlencoded\s*(;\s*charset="?utf-8"?\s*)?$/i.test(type) ||
    coding !== 'identity'
  )
    return malformed('Send application/x-www-form-urlencoded, in UTF-8 and uncompressed');
  const text = await readUtf8(request, bounds.maxBodyBytes);
  if (!text.ok) return err(wireFault(text.error));
  return parseForm(text.value);
}

/** Pure: what `readForm` makes of the text. */
export function parseForm(text: string): Result<Form, OAuthFault> {
  const form = new Map<string, string[]>();
  const pairs = text === '' ? [] : text.split('&');
  if (pairs.length > MAX_PARAMETERS) return malformed(`Send at most ${MAX_PARAMETERS} parameters`);
  for (const pair of pairs) {
    const [name, value] = decodePair(pair);
    if (name === null || value === null) return malformed('The body is not form-encoded UTF-8');
    if (value === '') continue;
    const values = form.get(name) ?? [];
    if (values.length > 0 && !REPEATABLE.has(name))
      return malformed(`The parameter ${JSON.stringify(name.slice(0, 50))} is there twice`);
    form.set(name, [...values, value]);
  }
  return ok(form);
}

function decodePair(pair: string): readonly [string | null, string | null] {
  const at = pair.indexOf('=');
  return at < 0 ? [decode(pair), ''] : [decode(pair.slice(0, at)), decode(pair.slice(at + 1))];
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return null;
  }
}

function malformed(description: string) {
  return err<OAuthFault>({ status: 400, error: 'invalid_request', description });
}
