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
      sensitive.has(name) ? { sha256: sha256(`${name}\n${canonicalJson(value)}`) } : value,
    ]),
  );
}
