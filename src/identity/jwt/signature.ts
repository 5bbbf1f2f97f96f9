import { type CryptoKey, compactVerify, errors } from 'jose';
import { err, ok, type Result } from '../../result.ts';
import type { ClaimFault } from './claims.ts';
import type { KeySet } from './jwks.ts';
import type { KeySource } from './keys.ts';
import type { Edition } from './refreshed.ts';
import type { TokenHeader } from './token.ts';

/** The edition of an issuer's keys of which one signed the token; asks the issuer once more when it seems to have new ones. */
export async function provenBy(
  keys: KeySource,
  token: { readonly text: string; readonly header: TokenHeader },
  signal: AbortSignal,
): Promise<Result<Edition<KeySet>, ClaimFault>> {
  const found = await findKeys(keys, token.header, signal);
  if (!found.ok) return found;
  if (await isSignedByAny(found.value.candidates, token)) return ok(found.value.edition);
  return err({ reason: 'signature', detail: 'The signature is not of the key that the token names' });
}

async function findKeys(
  keys: KeySource,
  header: TokenHeader,
  signal: AbortSignal,
): Promise<Result<{ edition: Edition<KeySet>; candidates: CryptoKey[] }, ClaimFault>> {
  const current = await keys.current(signal);
  if (!current.ok) return err({ reason: 'keys-unavailable', detail: current.error });
  const candidates = await current.value.value.candidates(header);
  if (candidates.length > 0) return ok({ edition: current.value, candidates });
  const newer = await keys.newerThan(current.value, signal);
  const newCandidates = (await newer?.value.candidates(header)) ?? [];
  if (newer && newCandidates.length > 0) return ok({ edition: newer, candidates: newCandidates });
  const key = header.kid === undefined ? `for ${header.alg}` : `${brief(header.kid)} for ${header.alg}`;
  return err({ reason: 'unknown-key', detail: `The issuer has no key ${key}` });
}

/** The bytes that are verified here are those that the claims were parsed from: there is one way to spell them. */
async function isSignedByAny(
  candidates: readonly CryptoKey[],
  { text, header }: { readonly text: string; readonly header: TokenHeader },
): Promise<boolean> {
  for (const key of candidates) {
    try {
      await compactVerify(text, key, { algorithms: [header.alg] });
      return true;
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error;
    }
  }
  return false;
}

/** A word of a stranger's, for the log. */
export function brief(word: string): string {
  return JSON.stringify(word.length > 64 ? `${word.slice(0, 64)}…` : word);
}
