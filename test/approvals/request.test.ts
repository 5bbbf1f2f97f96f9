import fc from 'fast-check';
import { expect, test } from 'vitest';
import { approve, cancel, courtFor, deny, lapse, redeem } from '../../src/approvals/request.ts';
import type { Condition } from '../../src/grants/grant.ts';
import { grantSchema } from '../../src/grants/schema.ts';
import type { Result } from '../../src/result.ts';
import type { Person, RequestRow } from '../../src/store/rows.ts';

/** Six identities of four humans: 4 and 5 are second ones of 0 and 1. */
const HUMAN = [0, 1, 2, 3, 0, 1];
const LAPSES = 100;
const DIGEST = 'what was asked';

/** May an identity approve? Changes in the course of a history. */
type Eligible = readonly boolean[];

const person = (n: number): Person => ({ issuer: 'corp', subject: `${n}`, claims: { n } });
const among = (accepts: (n: number) => boolean) => ({
  issuer: 'corp',
  claims: [{ name: 'n', path: ['n'], accepts: [{ text: '', matches: (n: unknown) => accepts(Number(n)) }] }],
});

/** What a condition says now: 'fails' is an error while it is evaluated. */
type Says = 'true' | 'false' | 'fails';
const condition = (expression: string, says: Says): Condition => ({
  expression,
  claims: [],
  variables: [],
  holds: () => ({ holds: says === 'true', error: says === 'fails' ? 'it fails' : null }),
});

/** A rule whose first stage is always there; further ones when `more` does not say that they are not. */
function courtOf(
  stages: readonly number[],
  eligible: Eligible,
  auto: Says = 'false',
  more: Says = 'true',
  asker = 0,
) {
  const from = [among((n) => eligible[n] ?? false)];
  const rule = {
    stages: stages.map((approvals, i) => ({
      approvals,
      from,
      when: i === 0 ? null : condition('more', more),
    })),
    autoApprove: [condition('auto', auto)],
    lapseSeconds: LAPSES,
  };
  const people = [0, 1, 2, 3].map((human) => ({
    name: `${human}`,
    who: [among((n) => HUMAN[n] === human)],
  }));
  return courtFor(rule, people, person(asker), fresh(asker, 0).ask, 0);
}

function fresh(asker: number, now: number): RequestRow {
  const requester = person(asker);
  const ask = {
    task: 't',
    purpose: 'p',
    parameters: {},
    grantVersion: 'v',
    taskGrant: null,
    credentials: [],
  };
  return {
    id: 'r',
    version: 1,
    state: 'pending',
    digest: DIGEST,
    grant: 'g',
    ...requester,
    ask,
    requester,
    approvals: [],
    createdAt: now,
    expiresAt: now + LAPSES,
    reason: null,
    taskId: null,
  };
}

const identity = fc.integer({ min: 0, max: 5 });
const askerOrOther = fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, identity);
const digest = fc.constantFrom(DIGEST, DIGEST, DIGEST, 'an edit');
const action = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('approve' as const),
      by: identity,
      digest,
      ttl: fc.option(fc.integer({ min: 1, max: 9 })),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('deny' as const), by: identity }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 60 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('tidy' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('eligible' as const), who: identity, may: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('say' as const),
      auto: fc.constantFrom<Says>('false', 'false', 'fails', 'true'),
      more: fc.constantFrom<Says>('true', 'fails', 'false'),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('redeem' as const), by: askerOrOther, digest }) },
);

test('redeem: no interleaving mints without approvals that count, of exactly that, and none mints twice', () => {
  let minted = 0;
  let automatic = 0;
  fc.assert(
    fc.property(
      identity,
      fc.array(fc.integer({ min: 1, max: 2 }), { minLength: 1, maxLength: 2 }),
      fc.array(action, { maxLength: 30 }),
      (asker, stages, history) => {
        let now = 1_000;
        let request = fresh(asker, now);
        let eligible: Eligible = Array(6).fill(true);
        let [auto, more]: [Says, Says] = ['false', 'true'];
        // What a witness saw, told apart from what the code keeps.
        const approved: { readonly by: number; readonly ttl: number | null }[] = [];
        let over = false;
        let redeemed = 0;
        const keep = (result: Result<RequestRow, string>) => {
          if (result.ok) request = result.value;
          return result.ok;
        };
        for (const step of history) {
          const court = courtOf(stages, eligible, auto, more, asker);
          if (step.do === 'say') [auto, more] = [step.auto, step.more];
          if (step.do === 'wait') now += step.ms;
          if (step.do === 'tidy') request = lapse(request, now) ?? request;
          if (step.do === 'eligible') eligible = eligible.map((may, n) => (n === step.who ? step.may : may));
          if (step.do === 'approve') {
            const approval = { by: person(step.by), at: now, ttlSeconds: step.ttl };
            if (keep(approve(court, request, approval, step.digest))) {
              expect(step.digest).toBe(DIGEST);
              approved.push({ by: step.by, ttl: step.ttl });
            }
          }
          if (step.do === 'deny') over = keep(deny(court, request, person(step.by), 'no', now)) || over;
          if (step.do === 'cancel') over = keep(cancel(request, 'no', now)) || over;
          if (step.do !== 'redeem') continue;
          const by = step.by ?? asker;
          const opening = { digest: step.digest, by: person(by), taskId: 't', now };
          const answer = redeem(court, request, opening);
          if (!answer.ok) continue;
          request = answer.value.request;
          minted++;
          redeemed++;
          const humans = new Set(approved.filter(({ by }) => eligible[by]).map(({ by }) => HUMAN[by]));
          humans.delete(HUMAN[asker]);
          const [always = 0, ...others] = stages;
          const demanded =
            (auto === 'true' ? 0 : always) + (more === 'false' ? 0 : others.reduce((sum, n) => sum + n, 0));
          expect(humans.size).toBeGreaterThanOrEqual(demanded);
          expect(answer.value.automatic).toBe(auto === 'true' ? 'auto' : null);
          if (demanded === 0) automatic++;
          expect({ over, redeemed, digest: step.digest, by }).toEqual({
            over: false,
            redeemed: 1,
            digest: DIGEST,
            by: asker,
          });
          expect(now).toBeLessThan(1_000 + LAPSES);
        }
      },
    ),
    { numRuns: 3_000 },
  );
  expect(minted).toBeGreaterThan(20);
  expect(automatic).toBeGreaterThan(5);
});

test('approve: whoever acts for the requester does not approve his request', () => {
  const court = courtOf([1], Array(6).fill(true));
  const request = { ...fresh(0, 1_000), requester: { ...person(0), actors: [person(1)] } };
  const by = (n: number) => approve(court, request, { by: person(n), at: 1_001, ttlSeconds: null }, DIGEST);
  // 5 is another identity of 1.
  expect([0, 4, 1, 5, 2].map((n) => by(n).ok)).toEqual([false, false, false, false, true]);
});

test.each([
  [{ stages: [] }, 'Write at least one stage'],
  [{ stages: [{ from: [{ issuer: 'ci', claims: { a: 'b' } }], approvals: 0 }] }, 'Write 1 or more'],
  [{ stages: [{ from: [], approvals: 1 }] }, ''],
])('approval %j: zero approvers are refused at load', (approval, message) => {
  const read = grantSchema.shape.approval.safeParse(approval);
  expect(read.success).toBe(false);
  expect(JSON.stringify(read.error?.issues)).toContain(message);
});

test('redeem: of the lifetimes that approvers allow the shortest counts, whoever came first', () => {
  for (const [first, second, least] of [
    [600, 60, 60],
    [60, 600, 60],
    [null, 60, 60],
    [600, null, 600],
    [null, null, null],
  ] as const) {
    const court = courtOf([1, 1], Array(6).fill(true));
    const give = (request: RequestRow, n: number, ttlSeconds: number | null) => {
      const given = approve(court, request, { by: person(n), at: 1_001, ttlSeconds }, DIGEST);
      if (!given.ok) throw new Error(given.error);
      return given.value;
    };
    const approved = give(give(fresh(0, 1_000), 1, first), 2, second);
    const opening = { digest: DIGEST, by: person(0), taskId: 't', now: 1_002 };
    expect(redeem(court, approved, opening)).toMatchObject({ ok: true, value: { ttlSeconds: least } });
  }
});

test('deny: not by whoever asked, under any identity that may approve', () => {
  const court = courtOf([1], Array(6).fill(true));
  // 4 is another identity of 0.
  const may = [0, 4, 1].map((n) => deny(court, fresh(0, 1_000), person(n), 'no', 1_001).ok);
  expect(may).toEqual([false, false, true]);
});

test('redeem: a rule that demands nobody, and says so by no condition, approves nothing', () => {
  const court = courtOf([1, 1], Array(6).fill(true), 'false', 'false');
  const [, second] = court.rule.stages;
  const bare = { ...court, rule: { ...court.rule, stages: [second!] } };
  const opening = { digest: DIGEST, by: person(0), taskId: 't', now: 1_001 };
  expect(redeem(bare, fresh(0, 1_000), opening)).toMatchObject({ ok: false });
});
