import type { ActingParty, Principal } from '../identity/attestor.ts';
import type { Json } from '../json.ts';
import { type ReasonedCheck, show } from './check.ts';
import { type Fault, type Path, quote, suggest } from './fault.ts';
import type { Ask, ClaimRule, Grant, PrincipalMatcher } from './grant.ts';
import { MAX_CLAIM_DEPTH } from './limits.ts';
import { type ParsedPattern, parsePatterns } from './pattern.ts';
import { type IssuerInWorld, widthFaults } from './width.ts';

/** Whether the principal and all who act for him are those of the matcher, link by link, and nobody is left over. */
export function matchesPrincipal(matcher: PrincipalMatcher, principal: Principal): boolean {
  return matchesChain(matcher, chainOf(principal));
}

type Link = Pick<ActingParty, 'issuer' | 'subject' | 'claims'>;

/** The principal, and who acts for him, the nearest first. */
function chainOf(principal: Principal): readonly Link[] {
  return [principal, ...(principal.actors ?? [])];
}

function matchesChain(matcher: PrincipalMatcher | undefined, [link, ...rest]: readonly Link[]): boolean {
  if (matcher === undefined || link === undefined) return matcher === undefined && link === undefined;
  return (
    matcher.issuer === link.issuer &&
    matcher.claims.every((rule) => matchesClaim(rule, link.claims)) &&
    matchesChain(matcher.actor, rest)
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

/** Issuer, claims and actors. When one matcher fits only its checks are listed, else those of all matchers of the issuer. */
export function checkPrincipal(grant: Grant, ask: Ask): ReasonedCheck[] {
  const { issuer } = ask.principal;
  const candidates = [...grant.who.entries()].filter(([, matcher]) => matcher.issuer === issuer);
  const issuers = [...new Set(grant.who.map((matcher) => quote(matcher.issuer)))].join(' or ');
  const first = principalCheck('issuer', candidates.length > 0, issuers, show(issuer));
  const fitting = candidates.find(([, matcher]) => matchesPrincipal(matcher, ask.principal));
  const listed = fitting === undefined ? candidates : [fitting];
  const [subject, ...actors] = chainOf(ask.principal);
  const rules = listed.flatMap(([i, matcher]) => {
    const prefix = grant.who.length > 1 ? `who[${i}].` : '';
    return [...checkClaims(matcher, subject, prefix), ...checkActor(matcher.actor, actors, `${prefix}actor`)];
  });
  return [first, ...rules];
}

function principalCheck(subject: string, ok: boolean, expected: string, actual: string): ReasonedCheck {
  return { reason: 'principal', subject, ok, expected, actual };
}

function checkClaims(matcher: PrincipalMatcher, link: Link | undefined, prefix: string): ReasonedCheck[] {
  const claims = link?.claims ?? {};
  return matcher.claims.map((rule) => {
    const value = claimAt(claims, rule.path);
    const subject = `${prefix}claims.${rule.name}`;
    return {
      ...principalCheck(subject, matchesClaim(rule, claims), expectation(rule), show(value)),
      claim: { name: rule.name, value: value ?? null },
    };
  });
}

/** Who acts for the link before. Silent where nobody does and nobody should. */
function checkActor(
  matcher: PrincipalMatcher | undefined,
  [link, ...rest]: readonly Link[],
  subject: string,
): ReasonedCheck[] {
  if (matcher === undefined) {
    if (link === undefined) return [];
    return [principalCheck(subject, false, 'nobody who acts for another', show([link.issuer, link.subject]))];
  }
  return [
    principalCheck(
      `${subject}.issuer`,
      matcher.issuer === link?.issuer,
      quote(matcher.issuer),
      show(link?.issuer),
    ),
    ...checkClaims(matcher, link, `${subject}.`),
    ...checkActor(matcher.actor, rest, `${subject}.actor`),
  ];
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

/** Those who act for the principal, each with the claims that the matcher that fits looks at, the nearest first. */
export function actorsLookedAt(grant: Grant, { principal }: Ask): readonly Link[] {
  let matcher = grant.who.find((candidate) => matchesPrincipal(candidate, principal));
  return (principal.actors ?? []).map(({ issuer, subject, claims }) => {
    matcher = matcher?.actor;
    const looked = (matcher?.claims ?? []).flatMap((rule): [string, Json][] => {
      const value = claimAt(claims, rule.path);
      return value === undefined ? [] : [[rule.name, value]];
    });
    return { issuer, subject, claims: Object.fromEntries(looked) };
  });
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

/** A principal as it is written, which schema.ts has seen. */
interface RawMatcher {
  readonly issuer: string;
  readonly claims?: Readonly<Record<string, Json>> | undefined;
  readonly actor?: RawMatcher | undefined;
}

/** Reads `{ issuer, claims, actor }`. A matcher that lets in more than it says who is a fault, for an actor as well. */
export function parsePrincipalMatcher(
  raw: RawMatcher,
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
    for (const message of widthFaults(claims, issuer ?? {}))
      faults.push({ path: [...path, 'claims'], message });
  }
  if (raw.actor === undefined) return { issuer: raw.issuer, claims };
  const actor = parsePrincipalMatcher(raw.actor, issuers, [...path, 'actor'], faults);
  return { issuer: raw.issuer, claims, actor };
}

const CLAIM_PATH_HINT =
  'Cannot read this claim as a path: write names with "/" between them, and "~1" for a slash within a name';
