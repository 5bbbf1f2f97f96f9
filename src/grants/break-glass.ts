import { printDuration } from '../duration.ts';
import type { Json } from '../json.ts';
import { type Fault, quote } from './fault.ts';
import type { BreakGlassRule, CredentialGrant, Human } from './grant.ts';
import { MAX_BREAK_GLASS_SECONDS } from './limits.ts';
import { matchesPrincipal, parsePrincipalMatcher } from './principal.ts';
import type { RawGrant } from './schema.ts';
import type { IssuerInWorld } from './width.ts';

/** Claims that name one person, where their value stands in full. */
const NAMING: readonly string[] = [
  'sub',
  'email',
  'oid',
  'upn',
  'preferred_username',
  'user_id',
  'user_login',
  'user_email',
  'actor_id',
];

/**
 * Reads what makes a grant a break-glass grant: for people by their names, for a short time, with a review after it.
 * That nobody approves before it has to be written in so many words.
 */
export function parseBreakGlass(
  read: RawGrant,
  credentials: ReadonlyMap<string, CredentialGrant>,
  issuers: ReadonlyMap<string, IssuerInWorld>,
  faults: Fault[],
): BreakGlassRule | null {
  const raw = read.break_glass;
  if (raw === undefined) return null;
  const fault = (path: Fault['path'], message: string) => faults.push({ path, message });
  const withoutApproval = raw.dangerously_without_approval === true;
  if (read.approval === undefined && !withoutApproval)
    fault(
      ['break_glass'],
      'Nobody would be asked: write approval, or accept it with dangerously_without_approval: true',
    );
  if (read.approval !== undefined && withoutApproval)
    fault(
      ['break_glass', 'dangerously_without_approval'],
      'Cannot stand beside approval: remove one of the two',
    );
  if (read.approval?.auto_approve !== undefined)
    fault(
      ['approval', 'auto_approve'],
      'Cannot approve break-glass by a condition: remove it, or remove approval and write dangerously_without_approval: true',
    );
  if (read.task_grants !== undefined)
    fault(['task_grants'], 'Cannot cut a break-glass grant for others: remove it');
  for (const [name, { ttl }] of credentials)
    for (const [member, seconds] of [
      ['max', ttl.maxSeconds],
      ['cap', ttl.capSeconds],
    ] as const)
      if (seconds > MAX_BREAK_GLASS_SECONDS)
        fault(
          ['credentials', name, 'ttl', member],
          `Too long for break-glass: write ${printDuration(MAX_BREAK_GLASS_SECONDS)} or less`,
        );
  return {
    withoutApproval,
    named: read.who.flatMap((matcher, i) => namedBy(matcher, i, faults)),
    review: {
      by: raw.review.by.map((matcher, i) =>
        parsePrincipalMatcher(matcher, issuers, ['break_glass', 'review', 'by', i], faults),
      ),
      dueSeconds: raw.review.due,
    },
  };
}

/** Those whom a matcher lets in, each as much as it says of him; a matcher that lets in others than named people is a fault. */
function namedBy(
  { issuer, claims = {}, actor }: RawGrant['who'][number],
  i: number,
  faults: Fault[],
): BreakGlassRule['named'] {
  if (actor !== undefined)
    faults.push({ path: ['who', i, 'actor'], message: 'Nobody breaks the glass through another: remove it' });
  const exact = Object.entries(claims).flatMap(([name, accepted]) => {
    const values = exactValues(accepted);
    return values === null ? [] : [[name, values] as const];
  });
  const naming = exact.find(([name]) => NAMING.includes(name));
  if (naming === undefined) {
    const message = `Break-glass is for people by their names, and this names none: write one of ${NAMING.map(quote).join(', ')}, with values in full`;
    faults.push({ path: ['who', i, 'claims'], message });
    return [];
  }
  const rest = exact.flatMap(([name, [value]]) => (value === undefined ? [] : [[name, value] as const]));
  return naming[1].map((value) => ({ issuer, claims: { ...Object.fromEntries(rest), [naming[0]]: value } }));
}

/** The values of a claim that is matched by whole strings alone; null when it is not. */
function exactValues(accepted: Json): readonly string[] | null {
  const values = (Array.isArray(accepted) ? accepted : [accepted]).map((one: Json) =>
    one !== null && typeof one === 'object' && 'exact' in one ? one.exact : one,
  );
  return values.length > 0 && values.every((value) => typeof value === 'string') ? values : null;
}

/** Of those whom a break-glass grant names, who is nobody of `people`: his identities would not be known. */
export function unnamedPeople(rule: BreakGlassRule, people: readonly Human[]): string[] {
  const proof = { method: 'described', evidenceHash: '', expiresAt: 0 };
  return rule.named
    .filter(
      ({ issuer, claims }) =>
        !people.some(({ who }) =>
          who.some((matcher) => matchesPrincipal(matcher, { issuer, subject: '', claims, proof })),
        ),
    )
    .map(({ issuer, claims }) => `${JSON.stringify(claims)} of ${quote(issuer)}`);
}
