import { afterEach, describe, expect, it } from 'vitest';
import type { Refusal } from '../../src/broker/refusal.ts';
import { createClient } from '../../src/client/client.ts';
import { type KeepEvent, type Kept, keepTask } from '../../src/client/keep.ts';
import { HallpassError } from '../../src/errors.ts';
import { fakeBorder } from '../fakes/border.ts';
import { fakeClock } from '../fakes/clock.ts';
import { seal } from '../fakes/seal.ts';
import { createUnderWay } from '../support/work.ts';

const MINUTE = 60_000;
let kept: Kept | undefined;
afterEach(() => kept?.stop());

/** A kept task over the real app; `before` decides what the broker answers. */
async function setUp(
  before: (verb: string) => Refusal | undefined | Promise<Refusal | undefined> = () => undefined,
  options: { heartbeatSeconds?: number; ourClockIsOffMs?: number; renewals?: boolean; atCap?: boolean } = {},
) {
  const border = fakeBorder({ seal, before: async (verb) => before(verb), ...options });
  const token = border.verbs.admit('job');
  const ours = fakeClock(border.clock.now() + (options.ourClockIsOffMs ?? 0));
  const client = createClient({
    url: 'http://127.0.0.1:1/',
    fetch: async (input, init) => {
      const answer = await border.app.request(new Request(input as URL, init));
      if (!options.atCap) return answer;
      const body = (await answer.text()).replace(
        /"expires_at":("[^"]+"),"cap_at":"[^"]+"/,
        '"expires_at":$1,"cap_at":$1',
      );
      return new Response(body, answer);
    },
    token: async () => token,
  });
  const task = await client.openTask({ grant: 'reports', task: 'nightly-1' });
  const asked = createUnderWay();
  const events: KeepEvent[] = [];
  kept = keepTask(asked.watch(task), {
    on: (event) => events.push(event),
    now: ours.now,
    sleep: ours.sleep,
    random: () => 1,
    ...(options.renewals === undefined ? {} : { renewals: options.renewals }),
  });
  /** What was asked is answered, and what follows from it is done, however busy the machine is. */
  const settle = async () => {
    for (let turn = 0; turn < 8 || asked.count > 0; turn++)
      await new Promise((resolve) => setTimeout(resolve, 1));
  };
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= MINUTE / 4) {
      await border.clock.advance(Math.min(left, MINUTE / 4));
      await ours.advance(Math.min(left, MINUTE / 4));
      await settle();
    }
  };
  const calls = (verb: string) => border.verbs.calls.filter((call) => call.verb === verb).length;
  return { ...border, task, events, pass, calls, kinds: () => events.map(({ kind }) => kind) };
}

describe('keepTask: renewal', () => {
  it('comes when seven tenths of the lifetime have passed, again and again', async () => {
    const { pass, calls, task, kinds } = await setUp();
    const first = task.current[0]?.lease.expires_at ?? '';
    await pass(10 * MINUTE);
    expect(calls('renewLease')).toBe(0);
    await pass(MINUTE);
    expect(calls('renewLease')).toBe(1);
    expect(Date.parse(task.current[0]?.lease.expires_at ?? '')).toBeGreaterThan(Date.parse(first));
    await pass(11 * MINUTE);
    expect(kinds()).toEqual(['renewed', 'renewed']);
  });

  it('keeps the time of the broker where our clock is wrong by hours', async () => {
    const { pass, calls } = await setUp(() => undefined, { ourClockIsOffMs: -7_200_000 });
    await pass(10 * MINUTE);
    expect(calls('renewLease')).toBe(0);
    await pass(MINUTE);
    expect(calls('renewLease')).toBe(1);
  });

  it('takes a fresh credential where the target cannot extend', async () => {
    const { pass, task, events, verbs } = await setUp((verb) =>
      verb === 'renewLease' ? { reason: 'cannot-renew', detail: 'x' } : undefined,
    );
    const [earlier] = task.current;
    await pass(11 * MINUTE);
    expect(verbs.leases.size).toBe(2);
    expect(task.current).toHaveLength(1);
    expect(task.current[0]?.lease.id).not.toBe(earlier?.lease.id);
    expect(events).toMatchObject([{ kind: 'replaced', earlier: { lease: { id: earlier?.lease.id } } }]);
  });

  it('asks for no fresh credential at the cap, and says when it ends', async () => {
    const { pass, calls, kinds } = await setUp(
      (verb) => (verb === 'renewLease' ? { reason: 'cannot-renew', detail: 'at its cap' } : undefined),
      { atCap: true },
    );
    await pass(20 * MINUTE);
    expect(calls('addCredentials')).toBe(0);
    expect(kinds()).toEqual(['unrenewable', 'expired']);
  });

  it('goes on while the broker is away, says it once, and stops when the credential has expired', async () => {
    let away = true;
    const { pass, kinds, calls } = await setUp((verb) => {
      if (verb === 'renewLease' && away) throw new HallpassError('store-unavailable', 'gone');
      return undefined;
    });
    await pass(12 * MINUTE);
    expect(kinds()).toEqual(['renewal-late']);
    away = false;
    await pass(MINUTE);
    expect(kinds()).toEqual(['renewal-late', 'renewed']);
    away = true;
    await pass(30 * MINUTE);
    expect(kinds()).toEqual(['renewal-late', 'renewed', 'renewal-late', 'expired']);
    const asked = calls('renewLease');
    await pass(5 * MINUTE);
    expect(calls('renewLease')).toBe(asked);
  });

  it('ends when policy says no: it says so and lets the credential run out', async () => {
    const { pass, kinds, calls } = await setUp((verb) =>
      verb === 'renewLease' ? { reason: 'not-allowed', detail: 'x' } : undefined,
    );
    await pass(30 * MINUTE);
    expect(kinds()).toEqual(['unrenewable', 'expired']);
    expect(calls('renewLease')).toBe(1);
  });

  it('is left out where it is not wanted, and stops when told to', async () => {
    const none = await setUp(() => undefined, { renewals: false });
    await none.pass(20 * MINUTE);
    expect(none.calls('renewLease')).toBe(0);
    const stopped = await setUp();
    await kept?.stop();
    await stopped.pass(20 * MINUTE);
    expect(stopped.calls('renewLease')).toBe(0);
  });
});

describe('keepTask: heartbeats', () => {
  it('come at a third of the grace, whatever that divides to', async () => {
    const { pass, calls, kinds } = await setUp(() => undefined, { heartbeatSeconds: 100 });
    await pass(2 * MINUTE);
    expect(calls('heartbeat')).toBe(2);
    expect(kinds()).toEqual([]);
  });

  it('stop for good when the broker has ended the task, and renewals with them', async () => {
    const { pass, verbs, task, kinds, calls } = await setUp(() => undefined, { heartbeatSeconds: 90 });
    await pass(MINUTE);
    expect(calls('heartbeat')).toBe(2);
    const row = verbs.tasks.get(task.id);
    if (row) verbs.end(row, 'revoked');
    await pass(20 * MINUTE);
    expect(kinds()).toEqual(['task-ended']);
    expect([calls('heartbeat'), calls('renewLease')]).toEqual([3, 0]);
  });
});
