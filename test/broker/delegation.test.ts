import { describe, expect, test } from 'vitest';
import { actedFor, withStatedActors } from '../../src/broker/delegation.ts';
import type { Principal, SingleUse } from '../../src/identity/attestor.ts';
import type { Json } from '../../src/json.ts';

const principal = (
  subject: string,
  claims: Record<string, Json> = {},
  { issuer = 'ci', singleUse }: { issuer?: string; singleUse?: SingleUse } = {},
): Principal => ({
  issuer,
  subject,
  claims: { sub: subject, iss: `https://${issuer}.example`, ...claims },
  proof: {
    method: 'oidc',
    evidenceHash: `hash of ${issuer} ${subject}`,
    expiresAt: 0,
    ...(singleUse && { singleUse }),
  },
});
const chain = (depth: number): Json =>
  depth === 1 ? { sub: 'a1' } : { sub: `a${depth}`, act: chain(depth - 1) };

describe('withStatedActors', () => {
  test('nobody acts without "act"', () => {
    const alone = principal('job');
    expect(withStatedActors(alone)).toEqual({ ok: true, value: alone });
  });

  test('reads a chain, the nearest first, in the name of the issuer that states it', () => {
    const act = { sub: 'agent', iss: 'https://elsewhere.example', act: { sub: 'gateway' } };
    const read = withStatedActors(principal('job', { act }));
    expect(read.ok && read.value.actors).toEqual([
      {
        issuer: 'ci',
        subject: 'agent',
        claims: { sub: 'agent', iss: 'https://elsewhere.example' },
        proof: null,
      },
      { issuer: 'ci', subject: 'gateway', claims: { sub: 'gateway' }, proof: null },
    ]);
  });

  test('takes three, and refuses a fourth', () => {
    expect(withStatedActors(principal('job', { act: chain(3) })).ok).toBe(true);
    expect(withStatedActors(principal('job', { act: chain(4) })).ok).toBe(false);
  });

  test.each<[Json]>([
    [null],
    ['agent'],
    [['agent']],
    [{}],
    [{ sub: '' }],
    [{ sub: 7 }],
    [{ sub: 'a', act: null }],
  ])('refuses %j, which it cannot read, and never takes it for nobody', (act) => {
    expect(withStatedActors(principal('job', { act })).ok).toBe(false);
  });
});

describe('actedFor', () => {
  const agent = principal('agent');

  test('puts the actor before those who act already', () => {
    const subject = withStatedActors(principal('job', { act: { sub: 'gateway' } }));
    const acting = subject.ok ? actedFor(subject.value, agent) : subject;
    expect(acting.ok && acting.value.subject).toBe('job');
    expect(acting.ok && acting.value.actors?.map((actor) => actor.subject)).toEqual(['agent', 'gateway']);
    expect(acting.ok && acting.value.actors?.[0]?.proof?.evidenceHash).toBe('hash of ci agent');
  });

  test('refuses an actor too many, an actor who is acted for, and one evidence for both', () => {
    const three = withStatedActors(principal('job', { act: chain(3) }));
    expect(three.ok && actedFor(three.value, agent).ok).toBe(false);
    const delegated = withStatedActors(principal('agent', { act: { sub: 'x' } }));
    expect(delegated.ok && actedFor(principal('job'), delegated.value).ok).toBe(false);
    expect(actedFor(agent, agent).ok).toBe(false);
    const singleUse = { id: 'ci:jti:1', until: 1 };
    expect(actedFor(principal('job', {}, { singleUse }), principal('agent', {}, { singleUse })).ok).toBe(
      false,
    );
  });

  test.each<[Json, Parameters<typeof principal>, boolean]>([
    [{ sub: 'agent' }, ['agent'], true],
    [{ sub: 'agent' }, ['other'], false],
    [{ sub: 'agent' }, ['agent', {}, { issuer: 'cloud' }], false],
    [{ sub: 'agent', iss: 'https://cloud.example' }, ['agent', {}, { issuer: 'cloud' }], true],
    [{ sub: 'agent', iss: 'https://ci.example' }, ['agent', {}, { issuer: 'cloud' }], false],
    [{ sub: 'agent', team: 'data' }, ['agent', { team: 'data' }], true],
    [{ sub: 'agent', team: 'data' }, ['agent'], false],
    [{ sub: 'agent', roles: ['a'] }, ['agent', { roles: ['a'] }], false],
    [{ iss: 'https://ci.example' }, ['agent'], false],
    ['agent', ['agent'], false],
    [null, ['agent'], false],
  ])('may_act %j and the actor %j: %s', (may_act, actor, allowed) => {
    expect(actedFor(principal('job', { may_act }), principal(...actor)).ok).toBe(allowed);
  });
});
