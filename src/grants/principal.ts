import type { Principal } from '../identity/attestor.ts';
import type { Json } from '../json.ts';
import { type ReasonedCheck, show } from './check.ts';
import { type Fault, type Path, quote, suggest } from './fault.ts';
import type { Ask, ClaimRule, Grant, PrincipalMatcher } from './grant.ts';
import { MAX_CLAIM_DEPTH } from './limits.ts';
import { type ParsedPattern, parsePatterns } from './pattern.ts';
import { type IssuerInWorld, tooWide } from './width.ts';

export function matchesPrincipal(matcher: PrincipalMatcher, principal: Principal): boolean {
  return (
    matcher.issuer === principal.issuer &&
    matcher.claims.every((rule) => matchesClaim(rule, principal.claims))
  );
}

/** A claim that is missing matches nothing. */
function matchesClaim(rule: ClaimRule, claims: Principal['claims']): boolean {
  const value = claimAt(claims, rule.path);
  return value !== undefined && rule.accepts.some((pattern) => pattern.matches(value));
}

/** The claim at the path, through objects only. */
export function claimAt(claims: Principal['claims'], path: readonly string[]): Json | undefined {
  let here: Json | undefined = claims;
  for (const step of path) {
    if (here === null || typeof here !== 'object' || Array.isArray(here) || !Object.hasOwn(here, step))
      return undefined;
    here = (here as { readonly [key: string]: Json })[step];
  }
  return here;
}

/** Issuer and claims. When one matcher fits only its claims are listed, else those of all matchers of the issuer. */
export function checkPrincipal(grant: Grant, ask: Ask): ReasonedCheck[] {
  const { issuer, claims } = ask.principal;
  const candidates = [...grant.who.entries()].filter(([, matcher]) => matcher.issuer === issuer);
  const issuers = [...new Set(grant.who.map((matcher) => quote(matcher.issuer)))].join(' or ');
  const first: ReasonedCheck = {
    reason: 'principal',
    subject: 'issuer',
    ok: candidates.length > 0,
    expected: issuers,
    actual: show(issuer),
  };
  const fitting = candidates.find(([, matcher]) => matchesPrincipal(matcher, ask.principal));
  const listed = fitting === undefined ? candidates : [fitting];
  const rules = listed.flatMap(([i, matcher]) =>
    matcher.claims.map(
      (rule): ReasonedCheck => ({
        reason: 'principal',
        subject: `${grant.who.length > 1 ? `who[${i}].` : ''}claims.${rule.name}`,
        ok: matchesClaim(rule, claims),
        expected: expectation(rule),
        actual: show(claimAt(claims, rule.path)),
      }),
    ),
  );
  return [first, ...rules];
}

/** The claims that decide: of the matcher that fits, and of the conditions. */
export function claimsLookedAt(grant: Grant, ask: Ask): Readonly<Record<string, Json>> {
  const { principal } = ask;
  const matcher = grant.who.find((candidate) => matchesPrincipal(candidate, principal));
  const names = new Map((matcher?.claims ?? []).map((rule) => [rule.name, rule.path]));
  for (const name of grant.conditions.flatMap((condition) => condition.claims)) names.set(name, [name]);
  const claims: [string, Json][] = [];
  for (const [name, path] of names) {
    const value = claimAt(principal.claims, path);
    if (value !== undefined) claims.push([name, value]);
  }
  return Object.fromEntries(claims);
}

/** What the matcher expects of one claim, for people. */
function expectation(rule: ClaimRule): string {
  return rule.accepts.map((pattern) => pattern.text).join(' or ');
}

/**
 * A claim's name as a path: `/` leads into an object, `~1` is a slash and `~0` a tilde within a name (RFC 6901).
 * A name that begins with `https://` or `http://` is one whole name, as namespaced claims are.
 */
export function parseClaimPath(name: string): readonly string[] | null {
  if (/^https?:\/\//.test(name)) return [name];
  const steps = name.split('/');
  const sound = steps.every((step) => step !== '' && !/~(?![01])/.test(step));
  if (!sound || steps.length > MAX_CLAIM_DEPTH) return null;
  return steps.map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** Reads `{ issuer, claims }`, which schema.ts has seen. A matcher that lets in more than it says who is a fault. */
export function parsePrincipalMatcher(
  raw: { readonly issuer: string; readonly claims?: Readonly<Record<string, Json>> | undefined },
  issuers: ReadonlyMap<string, IssuerInWorld>,
  path: Path,
  faults: Fault[],
): PrincipalMatcher {
  const issuer = issuers.get(raw.issuer);
  if (issuer === undefined) {
    const message = `Unknown issuer ${quote(raw.issuer)}: ${suggest(raw.issuer, issuers.keys())}`;
    faults.push({ path: [...path, 'issuer'], message });
  }
  const before = faults.length;
  const claims: (ClaimRule & { readonly accepts: readonly ParsedPattern[] })[] = [];
  for (const [name, accepted] of Object.entries(raw.claims ?? {})) {
    const at = [...path, 'claims', name];
    const steps = parseClaimPath(name);
    if (steps === null) faults.push({ path: at, message: CLAIM_PATH_HINT });
    const accepts = parsePatterns(accepted, at, faults);
    if (steps !== null) claims.push({ name, path: steps, accepts });
  }
  if (faults.length === before) {
    const message = tooWide(claims, issuer ?? {});
    if (message !== null) faults.push({ path: [...path, 'claims'], message });
  }
  return { issuer: raw.issuer, claims };
}

const CLAIM_PATH_HINT =
  'Cannot read this claim as a path: write names with "/" between them, and "~1" for a slash within a name';
