import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decide, explain } from '../../src/grants/decide.ts';
import type { Ask, Grant } from '../../src/grants/grant.ts';
import { matchesPrincipal } from '../../src/grants/principal.ts';
import type { ActingParty } from '../../src/identity/attestor.ts';
import type { Json } from '../../src/json.ts';
import { askOf, faultsOf, grantOf } from './support.ts';

const WHO = { issuer: 'github', claims: { repository_id: '42' } };
const AGENT = { issuer: 'cluster', claims: { sub: 'agent' } };
const direct = grantOf({ who: [WHO] });
const delegated = grantOf({ who: [{ ...WHO, actor: AGENT }] });

const party = (subject: string, issuer = 'cluster', claims: Record<string, Json> = {}): ActingParty => ({
  issuer,
  subject,
  claims: { sub: subject, ...claims },
  proof: null,
});
const agent = party('agent');

function askBy(...actors: ActingParty[]): Ask {
  const ask = askOf();
  return { ...ask, principal: { ...ask.principal, ...(actors.length > 0 && { actors }) } };
}
const allows = (grant: Grant, ask: Ask) => decide(grant, null, ask).ok;

describe('decide: who acts for whom', () => {
  test('a grant that names no actor lets in nobody who acts for another', () => {
    expect(allows(direct, askBy())).toBe(true);
    expect(allows(direct, askBy(agent))).toBe(false);
  });

  test('a grant that names an actor lets in that one alone, and not the subject without him', () => {
    expect(allows(delegated, askBy(agent))).toBe(true);
    expect(allows(delegated, askBy())).toBe(false);
    expect(allows(delegated, askBy(party('other')))).toBe(false);
    expect(allows(delegated, askBy(party('agent', 'github')))).toBe(false);
  });

  test('the actor in the place of the subject is refused', () => {
    const ask = askOf();
    const swapped = {
      ...ask,
      principal: { ...ask.principal, ...agent, proof: ask.principal.proof, actors: [ask.principal] },
    };
    expect(allows(delegated, swapped)).toBe(false);
  });

  test('a chain is matched whole: neither shorter nor longer nor in another order', () => {
    const gateway = party('gateway');
    const chain = grantOf({
      who: [{ ...WHO, actor: { ...AGENT, actor: { issuer: 'cluster', claims: { sub: 'gateway' } } } }],
    });
    expect(allows(chain, askBy(agent, gateway))).toBe(true);
    expect(allows(chain, askBy(agent))).toBe(false);
    expect(allows(chain, askBy(gateway, agent))).toBe(false);
    expect(allows(chain, askBy(agent, gateway, gateway))).toBe(false);
    expect(allows(delegated, askBy(agent, gateway))).toBe(false);
  });

  test('the rights of a delegated request are those of the subject under that grant, no more', () => {
    const alone = decide(direct, null, askBy());
    const acted = decide(delegated, null, askBy(agent));
    expect(alone.ok && acted.ok && acted.value.credentials).toEqual(alone.ok && alone.value.credentials);
  });

  test('the log gets the claims of the actors that were looked at', () => {
    const decision = decide(delegated, null, askBy(party('agent', 'cluster', { email: 'x@example.com' })));
    expect(decision.ok && decision.value.actors).toEqual([
      { issuer: 'cluster', subject: 'agent', claims: { sub: 'agent' } },
    ]);
    expect(decide(direct, null, askBy())).not.toHaveProperty('value.actors');
  });
});

test('conditions: see the nearest actor, and all of them', () => {
  const grant = (condition: string) =>
    grantOf({ who: [{ ...WHO, actor: AGENT }, WHO], conditions: [condition] });
  const ask = askBy(party('agent', 'cluster', { team: 'data' }));
  expect(allows(grant('actor.claims.team == "data" && actor.subject == "agent"'), ask)).toBe(true);
  expect(allows(grant('actors.exists(a, a.issuer == "cluster")'), ask)).toBe(true);
  expect(allows(grant('size(actors) == 0'), ask)).toBe(false);
  // Without an actor the variable is empty: reading from it denies, asking first does not.
  expect(allows(grant('actor.subject == "agent"'), askBy())).toBe(false);
  expect(allows(grant('!has(actor.subject)'), askBy())).toBe(true);
});

test('explain: says who was expected to act, and who does', () => {
  const failed = (grant: Grant, ask: Ask) => explain(grant, null, ask).filter((check) => !check.ok);
  expect(failed(direct, askBy(agent))).toEqual([
    { subject: 'actor', ok: false, expected: 'nobody who acts for another', actual: '["cluster","agent"]' },
  ]);
  expect(failed(delegated, askBy())).toEqual([
    { subject: 'actor.issuer', ok: false, expected: '"cluster"', actual: 'nothing' },
    { subject: 'actor.claims.sub', ok: false, expected: '"agent"', actual: 'nothing' },
  ]);
  expect(failed(delegated, askBy(agent, party('x')))).toMatchObject([{ subject: 'actor.actor' }]);
});

test('parseGrant: an actor must be somebody in particular, of an issuer that exists, and chains are bounded', () => {
  const faults = (actor: Json) => faultsOf({ who: [{ ...WHO, actor }] });
  expect(faults({ issuer: 'cluster' })).toEqual([
    expect.stringMatching(/^who\[0\]\.actor\.claims: Too wide/),
  ]);
  expect(faults({ issuer: 'nobody', claims: { sub: 'x' } })).toEqual([
    expect.stringMatching(/^who\[0\]\.actor\.issuer: Unknown issuer/),
  ]);
  expect(faults({ ...AGENT, actor: { ...AGENT, actor: AGENT } })).toEqual([]);
  expect(faults({ ...AGENT, actor: { ...AGENT, actor: { ...AGENT, actor: AGENT } } })).not.toEqual([]);
  expect(faults({ ...AGENT, subject: 'x' })).not.toEqual([]);
});

/** The rule again, slowly: link after link, each name compared. */
function reference(matcher: readonly (readonly [string, string])[], chain: readonly ActingParty[]): boolean {
  if (matcher.length !== chain.length) return false;
  for (const [i, [issuer, sub]] of matcher.entries())
    if (chain[i]?.issuer !== issuer || chain[i]?.claims.sub !== sub) return false;
  return true;
}

test('decide and explain: agree with a plain reference over all chains', () => {
  const link = fc.tuple(fc.constantFrom('cluster', 'github'), fc.constantFrom('agent', 'gateway'));
  const answers = { allowed: 0, refused: 0 };
  fc.assert(
    fc.property(
      fc.array(link, { maxLength: 3 }),
      fc.oneof(fc.array(link, { maxLength: 4 }), fc.constant(null)),
      (wanted, other) => {
        const chain = (other ?? wanted).map(([issuer, sub]) => party(sub, issuer));
        const actor = wanted.reduceRight<Json | undefined>(
          (inner, [issuer, sub]) => ({
            issuer,
            claims: { sub },
            ...(inner === undefined ? {} : { actor: inner }),
          }),
          undefined,
        );
        const grant = grantOf({ who: [actor === undefined ? WHO : { ...WHO, actor }] });
        const ask = askBy(...chain);
        const allowed = allows(grant, ask);
        expect(allowed).toBe(reference(wanted, chain));
        expect(matchesPrincipal(grant.who[0]!, ask.principal)).toBe(allowed);
        expect(explain(grant, null, ask).every((check) => check.ok)).toBe(allowed);
        answers[allowed ? 'allowed' : 'refused']++;
      },
    ),
    { numRuns: 300 },
  );
  expect(Math.min(answers.allowed, answers.refused)).toBeGreaterThan(30);
});
