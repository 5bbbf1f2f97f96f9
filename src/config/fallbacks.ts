import { type Fault, quote, suggest } from '../grants/fault.ts';
import type { Human } from '../grants/grant.ts';
import { matchesPrincipal } from '../grants/principal.ts';
import type { ConfiguredIssuer } from './config.ts';

/**
 * What is wrong with issuers that stand in for others. Each of their subjects must be somebody under `people` who is
 * known at the other issuer too: both can be taken within one outage, and one human is not to approve his own wish.
 */
export function fallbackFaults(
  issuers: ReadonlyMap<string, ConfiguredIssuer>,
  people: readonly Human[],
): Fault[] {
  return [...issuers.values()].flatMap((issuer) => {
    if (issuer.fallback === undefined) return [];
    const { standsFor } = issuer.fallback;
    const fault = primaryFault(issuer.name, standsFor, issuers);
    if (fault !== null) return [{ path: ['issuers', issuer.name, 'fallback_for'], message: fault }];
    return strangersOf(issuer, standsFor, people).map((subject) => ({
      path: ['issuers', issuer.name, 'subjects'],
      message: `Cannot tell who ${quote(subject)} is at ${quote(standsFor)}: write both identities of one human under people, or he could approve what he asked himself`,
    }));
  });
}

function primaryFault(
  name: string,
  standsFor: string,
  issuers: ReadonlyMap<string, ConfiguredIssuer>,
): string | null {
  const primary = issuers.get(standsFor);
  if (primary === undefined || standsFor === name)
    return `Unknown issuer ${quote(standsFor)}: ${suggest(
      standsFor,
      [...issuers.keys()].filter((one) => one !== name),
    )}`;
  return primary.kind.describe(primary.settings).isFetched
    ? null
    : `Cannot stand in for ${quote(standsFor)}: nothing of it is fetched, so nobody can tell that it is away; name an OIDC issuer whose keys are fetched`;
}

function strangersOf(issuer: ConfiguredIssuer, standsFor: string, people: readonly Human[]): string[] {
  const { names } = issuer.kind.describe(issuer.settings);
  return names.filter((subject) => {
    const proof = { method: '', evidenceHash: '', expiresAt: 0 };
    const here = { issuer: issuer.name, subject, claims: { iss: subject, sub: subject }, proof };
    return !people.some(
      ({ who }) =>
        who.some((matcher) => matchesPrincipal(matcher, here)) &&
        who.some((matcher) => matcher.issuer === standsFor),
    );
  });
}
