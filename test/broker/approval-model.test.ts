import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import type { Caller, OpenedTask, OpenTask } from '../../src/broker/verbs.ts';
import type { Json } from '../../src/json.ts';
import type { ReviewRow } from '../../src/store/rows.ts';
import { asking, callerOf, REPORT_GRANT, type TestBroker, value } from '../support/broker.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
afterAll(() => store.stop());

const MINUTE = 60_000;
const LAPSE = 60 * MINUTE;
const TTL = 15 * MINUTE;
const DUE = 10 * MINUTE;

/** Identities: whose they are, and the teams that their tokens state. */
const IDENTITIES = ['ada', 'ada-home', 'bob', 'bob-home', 'cy'] as const;
type Identity = (typeof IDENTITIES)[number];
const TEAMS: Readonly<Record<Identity, readonly string[]>> = {
  ada: ['dba'],
  'ada-home': ['dba', 'lead', 'security'],
  bob: ['dba', 'security'],
  'bob-home': ['lead'],
  cy: ['dba', 'lead'],
};
type GrantName = 'repair' | 'glass' | 'bare';

/** Three configurations that brokers are restarted with: in the second others approve, in the third cy is Ada. */
const VARIANTS = [
  { first: 'dba', ada: ['ada', 'ada-home'], cy: ['cy'] },
  { first: 'security', ada: ['ada', 'ada-home'], cy: ['cy'] },
  { first: 'dba', ada: ['ada', 'ada-home', 'cy'], cy: [] },
] as const;
type Variant = (typeof VARIANTS)[number];

function humanOf({ ada, cy }: Variant, identity: Identity): string {
  if ((ada as readonly string[]).includes(identity)) return 'Ada';
  return (cy as readonly string[]).includes(identity) ? 'Cy' : 'Bob';
}

const team = (name: string) => ({ issuer: 'ci', claims: { teams: { contains: name } } });

function grantsOf({ first }: Variant): Readonly<Record<GrantName, Json>> {
  const grant = (over: object): Json => ({
    ...(REPORT_GRANT as { [key: string]: Json }),
    who: [{ issuer: 'ci', claims: { sub: ['ada', 'ada-home', 'bob'] } }],
    credentials: {
      db: { target: 'warehouse', ttl: { max: '15m' }, scope: { role: 'r_{{ parameters.region }}' } },
    },
    ...over,
  });
  const review = { by: [team('lead')], due: '10m' };
  const stages = [{ from: [team(first)] }, { from: [team('lead')], when: 'parameters.region == "us"' }];
  return {
    repair: grant({ approval: { stages, auto_approve: ['claims.on_call == true'] } }),
    glass: grant({ approval: { stages }, break_glass: { review } }),
    bare: grant({ break_glass: { review, dangerously_without_approval: true } }),
  };
}

function peopleOf(variant: Variant) {
  return ['Ada', 'Bob', 'Cy'].map((name) => ({
    name,
    who: [
      {
        issuer: 'ci',
        claims: [
          {
            name: 'sub',
            path: ['sub'],
            accepts: [
              {
                text: name,
                matches: (sub: unknown) =>
                  IDENTITIES.includes(sub as Identity) && humanOf(variant, sub as Identity) === name,
              },
            ],
          },
        ],
      },
    ],
  }));
}

function callerFor(identity: Identity, onCall: boolean | null): Caller {
  const claims = { sub: identity, teams: TEAMS[identity], ...(onCall === null ? {} : { on_call: onCall }) };
  const caller = callerOf(claims);
  if (caller.kind !== 'principal') throw new Error('a principal');
  return { ...caller, principal: { ...caller.principal, subject: identity } };
}

const identity = fc.constantFrom(...IDENTITIES);
type Action =
  | ({ readonly do: 'open'; readonly startsIn: number | null; readonly onCall: boolean | null } & Omit<
      Wish,
      'notBefore'
    >)
  | {
      readonly do: 'redeem';
      readonly which: number;
      readonly by: Identity | null;
      readonly region: string | null;
      readonly practice: boolean | null;
      readonly onCall: boolean | null;
    }
  | {
      readonly do: 'approve';
      readonly by: Identity;
      readonly which: number;
      readonly digestOf: number | null;
    }
  | { readonly do: 'deny' | 'cancel' | 'close'; readonly by: Identity; readonly which: number }
  | { readonly do: 'wait'; readonly minutes: number }
  | { readonly do: 'restart'; readonly variant: number }
  | { readonly do: 'reap' };

/** The newest, or one before it. */
const which = fc.constantFrom(0, 0, 0, 1, 2);
const minutes = fc.constantFrom(1, 1, 10, 16, 30);
const asked = {
  by: fc.constantFrom<Identity>('ada', 'ada', 'ada-home', 'bob'),
  grant: fc.constantFrom<GrantName>('repair', 'glass', 'glass', 'bare'),
  region: fc.constantFrom('eu', 'eu', 'us'),
  startsIn: fc.constantFrom(null, null, null, 10),
  practice: fc.constantFrom(false, false, true),
  onCall: fc.constantFrom<boolean | null>(null, null, false, true),
};
/** Steps in an order that may well lead to an opening, in among the others. */
const through = fc
  .record({
    ask: fc.record(asked),
    approvers: fc.array(identity, { minLength: 1, maxLength: 3 }),
    between: fc.constantFrom<readonly Action[]>(
      [],
      [],
      [{ do: 'wait', minutes: 10 }],
      [{ do: 'restart', variant: 2 }],
      [{ do: 'deny', by: 'cy', which: 0 }],
    ),
    onCall: asked.onCall,
  })
  .map(({ ask, approvers, between, onCall }): readonly Action[] => [
    { do: 'open', ...ask },
    ...approvers.map((by): Action => ({ do: 'approve', by, which: 0, digestOf: null })),
    ...between,
    { do: 'redeem', which: 0, by: null, region: null, practice: null, onCall },
  ]);
/** A use, its review, and a second use, each by whoever it may be. */
const reviewed = fc
  .record({ first: fc.record(asked), second: fc.record(asked), closer: identity, minutes: minutes })
  .map(({ first, second, closer, minutes }): readonly Action[] => [
    { do: 'open', ...first, grant: 'bare', startsIn: null },
    { do: 'wait', minutes: 16 },
    { do: 'wait', minutes },
    { do: 'close', by: closer, which: 0 },
    { do: 'open', ...second, grant: 'bare', practice: first.practice },
  ]);
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('open' as const), ...asked }) },
  // The same again with its request named, by whoever, and now and then edited.
  {
    weight: 7,
    arbitrary: fc.record({
      do: fc.constant('redeem' as const),
      which,
      by: fc.option(identity, { freq: 12 }),
      region: fc.option(asked.region, { freq: 12 }),
      practice: fc.option(fc.boolean(), { freq: 12 }),
      onCall: asked.onCall,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('approve' as const),
      by: identity,
      which,
      digestOf: fc.option(which, { freq: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('deny' as const), by: identity, which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), by: identity, which }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('close' as const), by: identity, which }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      minutes,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reap' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('restart' as const), variant: fc.nat({ max: 2 }) }),
  },
);

/** What somebody asks for, as he says it. */
interface Wish {
  readonly by: Identity;
  readonly grant: GrantName;
  readonly region: string;
  readonly notBefore: number | null;
  readonly practice: boolean;
}

/** What a witness saw of a request, apart from what the broker keeps. */
interface Seen {
  readonly id: string;
  readonly digest: string;
  readonly wish: Wish;
  readonly variant: Variant;
  readonly lapsesAt: number;
  readonly approvedBy: Identity[];
  over: boolean;
}

interface SeenUse {
  readonly by: Identity;
  readonly practice: boolean;
  readonly dueAt: number;
  closed: boolean;
}

type Deciding = Extract<Action, { readonly do: 'approve' | 'deny' | 'cancel' | 'close' }>;

/** One history, and the witness of it. */
function createHistory(stage: Stage, brokers: readonly TestBroker[], counts: Record<string, number>) {
  const seen: Seen[] = [];
  const uses = new Map<string, SeenUse>();
  let [variant, hallpass] = [VARIANTS[0] as Variant, brokers[0]!];
  const now = () => stage.runtime.now();
  const count = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1;
  };

  async function open(wish: Wish, onCall: boolean | null, named: Seen | null): Promise<void> {
    const before = stage.warehouse.minted.length;
    const ask: Partial<OpenTask> = {
      grant: wish.grant,
      purpose: 'an incident',
      parameters: { region: wish.region },
      ...(wish.notBefore === null ? {} : { notBefore: wish.notBefore }),
      ...(wish.practice ? { practice: true as const } : {}),
      ...(named === null ? {} : { request: named.id }),
    };
    const answer = await hallpass.verbs.openTask(callerFor(wish.by, onCall), asking(ask));
    const minted = stage.warehouse.minted.length - before;
    if (answer.ok) {
      expect(minted).toBe(wish.practice ? 0 : 1);
      await checkOpened(wish, onCall, answer.value);
      return;
    }
    expect(minted).toBe(0);
    count(answer.error.reason);
    if (answer.error.reason !== 'awaiting-approval') return;
    const { id, digest, createdAt } = answer.error.view.request;
    const known = seen.find((one) => one.id === id);
    // Exactly that: a request never comes to stand for other words, or for another configuration.
    if (known) expect([known.wish, known.variant.first]).toEqual([wish, variant.first]);
    else {
      const lapsesAt = Math.max(createdAt, wish.notBefore ?? createdAt) + LAPSE;
      seen.push({ id, digest, wish, variant, lapsesAt, approvedBy: [], over: false });
    }
  }

  async function checkOpened(wish: Wish, onCall: boolean | null, opened: OpenedTask): Promise<void> {
    const automatic = wish.grant === 'repair' && onCall === true;
    count(wish.practice ? 'practised' : automatic ? 'automatic' : `opened ${wish.grant}`);
    if (wish.notBefore !== null) expect(now()).toBeGreaterThanOrEqual(wish.notBefore);
    if (wish.grant !== 'bare') await checkApproved(wish, onCall, opened);
    if (wish.grant === 'repair') return;
    const self = humanOf(variant, wish.by);
    for (const use of uses.values()) {
      const blocks = !use.closed && use.dueAt <= now() && use.practice === wish.practice;
      expect(blocks && humanOf(variant, use.by) === self).toBe(false);
    }
    const [row] = await stage.database.query<{ id: string }>(
      { name: 'model_review', text: 'select id from break_glass_review where task_id = $1' },
      [opened.task.id],
    );
    const dueAt = opened.task.openedAt + TTL + DUE;
    uses.set(row!.id, { by: wish.by, practice: wish.practice, dueAt, closed: false });
  }

  async function checkApproved(wish: Wish, onCall: boolean | null, opened: OpenedTask): Promise<void> {
    const [row] = await stage.database.query<{ id: string }>(
      { name: 'model_request', text: 'select id from approval_request where task_id = $1' },
      [opened.task.id],
    );
    const request = seen.find((one) => one.id === row!.id);
    const asker = humanOf(variant, wish.by);
    const eligible = (name: string) =>
      (request?.approvedBy ?? []).filter((by) => TEAMS[by].includes(name) && humanOf(variant, by) !== asker);
    const automatic = wish.grant === 'repair' && onCall === true;
    const firsts: (Identity | null)[] = automatic ? [null] : eligible(variant.first);
    const seconds: (Identity | null)[] = wish.region === 'us' ? eligible('lead') : [null];
    const isValid = firsts.some((a) =>
      seconds.some((b) => a === null || b === null || humanOf(variant, a) !== humanOf(variant, b)),
    );
    expect(isValid).toBe(true);
    if (request === undefined) {
      expect(automatic).toBe(true);
      return;
    }
    expect([request.wish, request.variant.first, request.over]).toEqual([wish, variant.first, false]);
    expect(now()).toBeLessThan(request.lapsesAt);
    request.over = true;
  }

  async function close(by: Identity, id: string, use: SeenUse): Promise<void> {
    const closed = await hallpass.verbs.closeReview(callerFor(by, null), id, 'seen');
    if (!closed.ok) return;
    count('closed');
    expect(humanOf(variant, by)).not.toBe(humanOf(variant, use.by));
    expect(TEAMS[by]).toContain('lead');
    expect(use.closed).toBe(false);
    expect((closed.value satisfies ReviewRow).state).toBe('closed');
    use.closed = true;
  }

  async function decide(step: Deciding): Promise<void> {
    const request = seen.at(-1 - step.which);
    if (request === undefined) return;
    const by = callerFor(step.by, null);
    if (step.do !== 'approve') {
      const verb = step.do === 'deny' ? hallpass.verbs.denyRequest : hallpass.verbs.cancelRequest;
      if ((await verb(by, request.id, 'no')).ok) request.over = true;
      return;
    }
    const digest =
      step.digestOf === null ? request.digest : (seen.at(-1 - step.digestOf)?.digest ?? 'another');
    const approved = await hallpass.verbs.approveRequest(by, request.id, { digest, ttlSeconds: null });
    if (!approved.ok) return;
    expect(digest).toBe(request.digest);
    count('approved');
    request.approvedBy.push(step.by);
  }

  return async (step: Action): Promise<void> => {
    if (step.do === 'wait') await stage.runtime.advance(step.minutes * MINUTE);
    else if (step.do === 'reap') await hallpass.reap();
    else if (step.do === 'restart') [variant, hallpass] = [VARIANTS[step.variant]!, brokers[step.variant]!];
    else if (step.do === 'open') {
      const { by, grant, region, startsIn, practice, onCall } = step;
      const notBefore = startsIn === null || grant === 'bare' ? null : now() + startsIn * MINUTE;
      await open({ by, grant, region, notBefore, practice: practice && grant !== 'repair' }, onCall, null);
    } else if (step.do === 'redeem') {
      const request = seen.at(-1 - step.which);
      if (request === undefined) return;
      const { by, region, practice } = step;
      const edits = {
        ...(by && { by }),
        ...(region && { region }),
        ...(practice !== null && request.wish.grant !== 'repair' && { practice }),
      };
      await open({ ...request.wish, ...edits }, step.onCall, request);
    } else if (step.do === 'close') {
      const use = [...uses].at(-1 - step.which);
      if (use) await close(step.by, ...use);
    } else await decide(step);
  };
}

test('approval and break-glass: no history mints without approvals of exactly that that count, before its start, in practice, or past a review that is overdue', async () => {
  const stage = await createStage(store);
  const brokers = await Promise.all(
    VARIANTS.map((variant) => stage.start({ grants: grantsOf(variant), people: peopleOf(variant) })),
  );
  const counts: Record<string, number> = {};
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          { weight: 4, arbitrary: action.map((one) => [one]) },
          { weight: 3, arbitrary: through },
          { weight: 1, arbitrary: reviewed },
        ),
        { minLength: 10, maxLength: 25 },
      ),
      async (steps) => {
        for (const table of ['approval_request', 'break_glass_review'])
          await stage.database.query({ name: `model_empty_${table}`, text: `delete from ${table}` }, []);
        const next = createHistory(stage, brokers, counts);
        for (const step of steps.flat()) await next(step);
      },
    ),
    { numRuns: 40, endOnFailure: true },
  );
  // The histories reach what they are about.
  for (const what of [
    'opened repair',
    'opened glass',
    'opened bare',
    'practised',
    'automatic',
    'approved',
    'closed',
    'too-early',
    'review-overdue',
    'awaiting-approval',
    'not-allowed',
  ])
    expect([what, counts[what] ?? 0]).toEqual([what, expect.toSatisfy((n: number) => n > 0)]);
  value(await brokers[0]!.verbs.listReviews(callerFor('cy', null)));
  await brokers[0]!.reap();
  await stage.check();
  await stage.close();
}, 120_000);
