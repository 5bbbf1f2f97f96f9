import { afterEach, describe, expect, it } from 'vitest';
import type { Refusal } from '../../src/broker/refusal.ts';
import { createHolder, type Holder } from '../../src/cli/agent/holder.ts';
import { createClient } from '../../src/client/client.ts';
import type { KeepEvent } from '../../src/client/keep.ts';
import { fakeBorder } from '../fakes/border.ts';
import { seal } from '../fakes/seal.ts';
import { createUnderWay } from '../support/work.ts';

const MINUTE = 60_000;
let holder: Holder | undefined;
afterEach(() => holder?.close());

function setUp(
  before: (verb: string, ...args: readonly unknown[]) => Refusal | undefined = () => undefined,
  options: { heartbeatSeconds?: number; credentials?: string[] } = {},
) {
  const border = fakeBorder({ seal, before: async (verb, ...args) => before(verb, ...args), ...options });
  const token = border.verbs.admit('job');
  const asked = createUnderWay();
  const client = createClient({
    url: 'http://127.0.0.1:1/',
    fetch: async (input, init) => border.app.request(new Request(input as URL, init)),
    token: async () => token,
    sleep: async () => {},
  });
  const events: KeepEvent['kind'][] = [];
  const changes: string[] = [];
  const failures: unknown[] = [];
  holder = createHolder({
    open: async () => {
      const opening = client.openTask({
        grant: 'reports',
        task: 'nightly-1',
        ...(options.credentials ? { credentials: options.credentials } : {}),
      });
      return asked.watch(await asked.add(opening));
    },
    now: border.clock.now,
    sleep: border.clock.sleep,
    on: ({ kind }) => events.push(kind),
    changed: (credentials) => changes.push(credentials[0]?.lease.id ?? ''),
    failed: (error) => failures.push(error),
  });
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= MINUTE / 4) {
      await border.clock.advance(Math.min(left, MINUTE / 4));
      // What was asked is answered, and what follows from it is done, however busy the machine is.
      for (let turn = 0; turn < 8 || asked.count > 0; turn++)
        await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  const current = async () => (await holder!.credentials())[0]?.lease.id;
  return { ...border, events, changes, failures, pass, current, held: holder };
}

describe('createHolder', () => {
  it('opens one task, however many ask at once', async () => {
    const { held, verbs } = setUp();
    const answers = await Promise.all(Array.from({ length: 100 }, () => held.credentials()));
    expect(new Set(answers.map((one) => one[0]?.lease.id)).size).toBe(1);
    expect(verbs.tasks.size).toBe(1);
  });

  it('asks a broker that refuses once, however many ask, and again after a pause', async () => {
    let refuse = true;
    const { held, verbs, pass } = setUp((verb) =>
      verb === 'openTask' && refuse ? { reason: 'not-allowed', detail: 'x' } : undefined,
    );
    const opens = () => verbs.calls.filter(({ verb }) => verb === 'openTask').length;
    const answers = await Promise.allSettled(Array.from({ length: 100 }, () => held.credentials()));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set(['rejected']));
    await expect(held.credentials()).rejects.toThrow();
    expect(opens()).toBe(1);
    refuse = false;
    await pass(3_000);
    await held.credentials();
    expect(opens()).toBe(2);
  });

  it('renews before the end, and gives the same secret', async () => {
    const { pass, current, verbs, events } = setUp();
    const first = await current();
    await pass(25 * MINUTE);
    expect(await current()).toBe(first);
    expect(verbs.tasks.size).toBe(1);
    expect(new Set(events)).toEqual(new Set(['renewed']));
  });

  it('opens the next task before a credential that cannot be renewed has ended, and completes the first', async () => {
    const { pass, current, verbs, changes } = setUp((verb) =>
      verb === 'renewLease' ? { reason: 'not-allowed', detail: 'x' } : undefined,
    );
    const first = await current();
    await pass(12 * MINUTE);
    const second = await current();
    expect(second).not.toBe(first);
    expect(changes).toEqual([first, second]);
    // Who still uses the first may go on until it ends by itself.
    expect(verbs.leases.get(first ?? '')?.state).toBe('active');
    await pass(4 * MINUTE);
    expect(verbs.leases.get(first ?? '')?.state).toBe('ended');
    expect(verbs.leases.get(second ?? '')?.state).toBe('active');
  });

  it('lets nobody lose one credential because another could not be renewed', async () => {
    const refused = new Set<unknown>();
    const { pass, current, verbs } = setUp(
      (verb, ...args) =>
        verb === 'renewLease' && refused.has(args[1]) ? { reason: 'not-allowed', detail: 'x' } : undefined,
      { credentials: ['a', 'b'] },
    );
    await current();
    const [a, b] = [...verbs.leases.keys()];
    refused.add(a);
    await pass(12 * MINUTE);
    expect(verbs.tasks.size).toBe(2);
    expect([a, b].map((id) => verbs.leases.get(id ?? '')?.state)).toEqual(['active', 'active']);
    await pass(30 * MINUTE);
    expect([a, b].map((id) => verbs.leases.get(id ?? '')?.state)).toEqual(['ended', 'ended']);
    expect([...verbs.tasks.values()].map(({ state }) => state)).toEqual(['ended', 'open']);
  });

  it('opens the next task when the broker has ended one', async () => {
    const { pass, current, verbs, events } = setUp(() => undefined, { heartbeatSeconds: 60 });
    const first = await current();
    verbs.end([...verbs.tasks.values()][0]!, 'revoked');
    await pass(MINUTE);
    expect(events).toEqual(['task-ended']);
    expect(await current()).not.toBe(first);
    expect(verbs.tasks.size).toBe(2);
  });

  it('tries on until it can open the next task', async () => {
    let refuse = false;
    const { pass, current, verbs, failures } = setUp(
      (verb) => (verb === 'openTask' && refuse ? { reason: 'not-allowed', detail: 'x' } : undefined),
      { heartbeatSeconds: 60 },
    );
    await current();
    refuse = true;
    verbs.end([...verbs.tasks.values()][0]!, 'revoked');
    await pass(2 * MINUTE);
    expect(failures.length).toBeGreaterThan(1);
    refuse = false;
    await pass(MINUTE);
    expect(verbs.tasks.size).toBe(2);
  });

  it('completes all that it opened, and gives nothing afterwards', async () => {
    const { held, verbs } = setUp();
    await held.credentials();
    await held.close();
    expect([...verbs.tasks.values()].map(({ endReason }) => endReason)).toEqual(['completed']);
    await expect(held.credentials()).rejects.toThrow('stopping');
  });

  it('completes a task whose opening was under way when it was closed', async () => {
    const { held, verbs } = setUp();
    const asked = held.credentials().catch(() => {});
    await held.close();
    await asked;
    expect([...verbs.tasks.values()].map(({ state }) => state)).toEqual(['ended']);
  });
});
