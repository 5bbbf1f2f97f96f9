import { canonicalJson, type Json, sha256 } from '../json.ts';

/**
 * Claims as the log keeps them: the values of those that are sensitive are replaced by their hash, which still tells
 * whether two are the same. A value that can be guessed can be found by its hash: this keeps names from casual eyes.
 */
export function redactClaims(claims: Json, sensitive: ReadonlySet<string>): Json {
  if (claims === null || typeof claims !== 'object' || Array.isArray(claims)) return claims;
  return Object.fromEntries(
    Object.entries(claims).map(([name, value]) => [
      name,
      isSensitive(name, sensitive) ? redactClaim(name, value) : value,
    ]),
  );
}

/** Whether a claim, by name or path, is one of these, or within one, or has one within it. */
export function isSensitive(name: string, sensitive: ReadonlySet<string>): boolean {
  if (sensitive.has(name)) return true;
  return [...sensitive].some((one) => name.startsWith(`${one}/`) || one.startsWith(`${name}/`));
}

/** What the log has in the place of a sensitive value. */
export function redactClaim(name: string, value: Json): { readonly sha256: string } {
  return { sha256: sha256(`${name}\n${canonicalJson(value)}`) };
}
