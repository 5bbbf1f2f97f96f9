import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ProviderError } from '../../../src/errors.ts';
import { parseTemplate } from '../../../src/grants/template.ts';
import { sessionPolicy } from '../../../src/providers/aws/policy.ts';
import { refuseScope } from '../../../src/providers/aws/refusals.ts';
import { scopeSchema } from '../../../src/providers/aws/scope.ts';
import { planSession, sessionName, tagValue } from '../../../src/providers/aws/session.ts';
import { settingsSchema } from '../../../src/providers/aws/settings.ts';
import { templating } from '../../../src/providers/aws/templating.ts';
import { evaluate, type PolicyDocument } from '../../fakes/aws-policy.ts';
import { ROLE, scope } from './world.ts';

const NOW = Date.UTC(2030, 0, 1, 12);
const settings = settingsSchema.parse({ region: 'eu-central-1', credentials: { source: 'web_identity' } });
const chained = settingsSchema.parse({ region: 'eu-central-1' });

function terms(seconds: number) {
  return {
    name: 'hp_abcd_01j000000000000000000000aa',
    mintBefore: NOW + 20_000,
    expiresAt: NOW + seconds * 1000,
    context: { issuer: 'i', subject: 's', grant: 'g', task: 't', taskId: 'x', purpose: null },
  };
}

function allows(
  policy: string | undefined,
  arns: readonly PolicyDocument[],
  at: number,
  action = 's3:GetObject',
): boolean {
  const documents = [...(policy === undefined ? [] : [JSON.parse(policy) as PolicyDocument]), ...arns];
  if (documents.length === 0) return true;
  const context = { 'aws:currenttime': new Date(at).toISOString() };
  return evaluate(documents, { action, resource: 'arn:aws:s3:::b/k', context }) === 'allow';
}

describe('planSession', () => {
  test('planSession: a session never lasts longer than its lease, however late STS answers', () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 43_200 }), fc.boolean(), (seconds, isChained) => {
        const asked = terms(seconds);
        const plan = planSession(isChained ? chained : settings, scope(), asked, NOW);
        const lapses = Math.min(
          asked.mintBefore + plan.durationSeconds * 1000,
          plan.deadAt ?? Number.POSITIVE_INFINITY,
        );
        expect(lapses).toBeLessThanOrEqual(asked.expiresAt);
        expect(plan.durationSeconds).toBeGreaterThanOrEqual(900);
        expect(plan.durationSeconds).toBeLessThanOrEqual(isChained ? 3_600 : 43_200);
      }),
    );
  });

  test('planSession: below 900 seconds a dated Deny ends it, and only that', () => {
    const plan = planSession(settings, scope(), terms(60), NOW);
    expect(plan.durationSeconds).toBe(900);
    expect(plan.deadAt).toBe(NOW + 60_000);
    expect(allows(plan.policy, [], NOW + 59_000)).toBe(true);
    expect(allows(plan.policy, [], NOW + 60_000)).toBe(false);
  });

  test('planSession: from 900 seconds on nothing is added', () => {
    expect(planSession(settings, scope(), terms(3_600), NOW)).toMatchObject({
      policy: undefined,
      durationSeconds: 3_580,
    });
  });

  test('planSession: a console session always has its date', () => {
    expect(planSession(settings, scope({ console: {} }), terms(3_600), NOW).deadAt).toBe(NOW + 3_600_000);
  });

  test('planSession: refuses a policy that is too large, and drops nothing to make it fit', () => {
    const Resource = Array.from({ length: 50 }, (_, i) => `arn:aws:s3:::acme-reports-of-a-long-name/${i}/*`);
    const wide = scope({ session_policy: [{ Effect: 'Allow', Action: 's3:GetObject', Resource }] });
    expect(() => planSession(settings, wide, terms(3_600), NOW)).toThrow(ProviderError);
    expect(refuseScope(wide, settings)).toEqual([expect.stringContaining('AWS takes 2048')]);
  });
});

test('sessionPolicy: the date beside managed policies does not widen what they allow', () => {
  const managed: PolicyDocument = { Statement: { Effect: 'Allow', Action: 's3:GetObject', Resource: '*' } };
  const policy = sessionPolicy(
    { session_policy: undefined, policy_arns: ['arn:aws:iam::aws:policy/x'] },
    NOW,
  );
  expect(allows(policy, [managed], NOW - 1_000)).toBe(true);
  expect(allows(policy, [managed], NOW - 1_000, 's3:DeleteObject')).toBe(false);
  expect(allows(policy, [managed], NOW)).toBe(false);
});

describe('sessionName', () => {
  test('sessionName: a lease has its own name; whatever else comes fits STS, and no two are one', () => {
    expect(sessionName(terms(60).name)).toBe(terms(60).name);
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (one, other) => {
        expect(sessionName(one)).toMatch(/^[\w+=,.@-]{2,64}$/);
        if (one !== other) expect(sessionName(one)).not.toBe(sessionName(other));
      }),
    );
    const digest = sessionName('a'.repeat(65));
    expect(sessionName(digest)).not.toBe(digest);
  });
});

test('tagValue: fits a tag, and no two texts are one', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.string({ unit: 'binary' }),
      (one, other) => {
        expect(tagValue(one)).toMatch(/^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$/u);
        if (one !== other) expect(tagValue(one)).not.toBe(tagValue(other));
      },
    ),
  );
  expect(tagValue(tagValue('{'))).not.toBe(tagValue('{'));
});

describe('templating', () => {
  const raw = {
    role_arn: 'arn:aws:iam::123456789012:role/reports-{{ parameters.x }}',
    session_policy: [
      { Effect: 'Allow', Action: 's3:GetObject', Resource: 'arn:aws:s3:::b/{{ parameters.x }}*' },
    ],
  };
  const fill = (x: string) => {
    const template = parseTemplate(raw, templating, new Map([['x', true]]), [], []);
    return template.fill({ task: 't', parameters: { x } });
  };

  test.for(['*', 'eu*', 'e?', `$\{aws:username}`, '$', '', '\u0000', 'eu\n'])(
    'templating: %j is no value for a policy',
    (value) => expect(fill(value).ok).toBe(false),
  );

  test.for(['../admin', 'x/y', 'x:y', '..'])('templating: %j does not lead to another role', (value) =>
    expect(fill(value).ok).toBe(false),
  );

  test('templating: what passes matches itself alone', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), fc.string(), (value, other) => {
        const filled = fill(value);
        if (!filled.ok) return;
        const { session_policy } = filled.value as typeof raw;
        const document = { Statement: session_policy } as unknown as PolicyDocument;
        const verdict = (key: string) =>
          evaluate([document], { action: 's3:GetObject', resource: `arn:aws:s3:::b/${key}`, context: {} });
        expect(verdict(`${value}1`)).toBe('allow');
        if (!other.startsWith(value)) expect(verdict(other)).toBe('silent');
      }),
    );
  });
});

describe('scopeSchema', () => {
  test.for([
    ['no ARN of a role', { role_arn: 'arn:aws:iam::123456789012:user/x' }],
    ['eleven policies', { policy_arns: Array.from({ length: 11 }, () => 'arn:aws:iam::aws:policy/x') }],
    ['a tag of ours', { tags: { 'hallpass:task': 'x' } }],
    ['a tag of AWS', { tags: { 'aws:x': 'x' } }],
    ['tags that differ in case only', { tags: { Team: 'a', team: 'b' } }],
    ['a transitive tag that is not there', { transitive_tags: ['team'] }],
    [
      'a statement with Action and NotAction',
      { session_policy: [{ Effect: 'Allow', Action: '*', NotAction: '*', Resource: '*' }] },
    ],
    [
      'a principal in a session policy',
      { session_policy: [{ Effect: 'Allow', Principal: '*', Action: '*', Resource: '*' }] },
    ],
    [
      'a page that is not the console',
      { console: { destination: 'https://console.aws.amazon.com.evil.example/' } },
    ],
    [
      '50 tags of its own',
      { tags: Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`t${i}`, 'x'])) },
    ],
  ])('scopeSchema: refuses %s', ([, more]) => {
    expect(scopeSchema.safeParse({ role_arn: ROLE, ...(more as object) }).success).toBe(false);
  });

  test('refuseScope: a role whose sessions could not be denied', () => {
    const denying = settingsSchema.parse({ region: 'eu-central-1', denial: { roles: [`${ROLE}2`] } });
    expect(refuseScope({ role_arn: ROLE }, denying)).toEqual([expect.stringContaining('denial.roles')]);
  });
});
