import { expireRequests } from '../broker/approval.ts';
import { tellOverdueReviews } from '../broker/break-glass.ts';
import type { Broker } from '../broker/broker.ts';
import { endClaimed, endTask } from '../broker/end.ts';
import { finishKills, liftLapsed } from '../broker/kill.ts';
import { endSessions } from '../broker/session.ts';
import { endWithdrawn } from '../broker/withdraw.ts';
import { forgetEvidence } from '../store/installation.ts';
import { claimDue, nextDue, type Room } from '../store/leases.ts';
import type { TaskRow } from '../store/rows.ts';
import { expiredTasks } from '../store/tasks.ts';

/** Open tasks that one look closes, and pieces of lapsed evidence that it forgets. Where there are more, it looks again at once. */
const HOUSEKEEPING_BATCH = 500;

/** Between two looks at what only has to be tidied. */
const HOUSEKEEPING_EVERY_MS = 30_000;

/** After a look that failed: the store is away, and asking faster does not bring it back. */
const STORE_RETRY_MS = 1_000;

/** Between two looks at a clock that was wrong. */
const CLOCK_RETRY_MS = 1_000;

/** The loop that ends leases that are due. Any number of replicas run one; they share the work by claiming rows. */
export interface Reaper {
  /**
   * Claims what is due and begins to end it; resolves with the number claimed, when all of them were tried once.
   */
  tick(): Promise<number>;
  /** Tries to end all that is due, as fast as its targets take it. A start does so before it serves. */
  catchUp(): Promise<void>;
  /** Looks again and again, when the next lease is due or somebody calls `wake`, until the signal aborts. Then waits for what it began. */
  run(signal: AbortSignal): Promise<void>;
  /** Something has become due now. */
  wake(): void;
}

export function createReaper(broker: Broker): Reaper {
  const { runtime, limits, database } = broker;
  const underWay = new Set<Promise<void>>();
  let housekeptAt = 0;
  let woken = false;
  let waits = false;
  let alarm: AbortController | null = null;

  function wake(): void {
    woken = true;
    alarm?.abort();
  }

  async function claim(): Promise<Promise<void>[]> {
    if (!(await mayGoByTheClock())) return [];
    const now = runtime.now();
    const claimed = await claimDue(database, roomsOf(broker, now), now, now + limits.claimMs);
    return claimed.map((lease) => {
      const work = endClaimed(broker, lease)
        .catch((error: unknown) => {
          // The store did not take it. The claim times out, and the lease comes up again.
          broker.log.error({ lease: lease.id, err: error }, 'ending a lease failed, and will be tried again');
        })
        .finally(() => {
          underWay.delete(work);
          wake();
        });
      underWay.add(work);
      return work;
    });
  }

  /** What is due, or for how long a claim holds, cannot be told by a clock that is wrong. */
  async function mayGoByTheClock(): Promise<boolean> {
    const fault = await broker.clock.fault();
    if (fault !== null && !waits) broker.log.error({ fault }, 'the reaper waits for the clock to be right');
    waits = fault !== null;
    return !waits;
  }

  async function tick(): Promise<number> {
    const begun = await claim();
    await Promise.all(begun);
    await housekeep();
    return begun.length;
  }

  async function catchUp(): Promise<void> {
    for (await claim(); underWay.size > 0; await claim()) await Promise.race(underWay);
    await housekeep();
  }

  async function housekeep(): Promise<void> {
    if (waits) return;
    const now = runtime.now();
    if (now - housekeptAt < HOUSEKEEPING_EVERY_MS && now >= housekeptAt) return;
    housekeptAt = now;
    await finishKills(broker);
    await liftLapsed(broker);
    const withdrawn = await endWithdrawn(broker, HOUSEKEEPING_BATCH);
    const closed = await Promise.all((await expiredTasks(database, now, HOUSEKEEPING_BATCH)).map(close));
    await expireRequests(broker, HOUSEKEEPING_BATCH);
    await tellOverdueReviews(broker, HOUSEKEEPING_BATCH);
    await endSessions(broker, HOUSEKEEPING_BATCH);
    const forgotten = await forgetEvidence(database, now, HOUSEKEEPING_BATCH);
    const most = Math.max(withdrawn, closed.filter(Boolean).length, forgotten);
    if (most < HOUSEKEEPING_BATCH) return;
    // There is more than one look takes: the next goes on with it.
    housekeptAt = Number.NEGATIVE_INFINITY;
    woken = true;
  }

  /** Closes a task whose time is up; answers whether that is done. */
  async function close({ id }: TaskRow): Promise<boolean> {
    try {
      await endTask(broker, id, {
        reason: 'expired',
        exitStatus: null,
        actor: { kind: 'system' },
        // Its leases are left to the claims: a target that is slow must not hold up this loop.
        leaveToReaper: true,
      });
      return true;
    } catch (error) {
      broker.log.error({ task: id, err: error }, 'closing a task failed, and will be tried again');
      return false;
    }
  }

  /** Until the next lease is due, somebody wakes us, or it is time to look what other replicas left. */
  async function rest(signal: AbortSignal): Promise<void> {
    if (woken) return;
    alarm = new AbortController();
    // What is due at a target without room cannot be claimed: its end of work wakes us, or the idle look finds it.
    const targets = roomsOf(broker, runtime.now()).map((room) => room.target);
    const next = targets.length === 0 ? null : await nextDue(database, targets);
    const wait = Math.min(
      limits.reaperIdleMs,
      Math.max(0, (next ?? Number.POSITIVE_INFINITY) - runtime.now()),
    );
    // What is due and cannot be claimed now (no room, an open breaker) must not make a busy loop.
    await runtime.sleep(Math.max(wait, 20), AbortSignal.any([signal, alarm.signal])).catch(() => {});
  }

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      woken = false;
      try {
        const begun = await claim();
        await housekeep();
        if (waits) await runtime.sleep(CLOCK_RETRY_MS, signal).catch(() => {});
        else if (begun.length < limits.reaperBatch) await rest(signal);
      } catch (error) {
        broker.log.error({ err: error }, 'the reaper cannot look, and will again');
        await runtime.sleep(STORE_RETRY_MS, signal).catch(() => {});
      }
    }
    await Promise.all(underWay);
  }

  return { tick, catchUp, run, wake };
}

/** How much each target can take now, so that one that is slow or away holds up none of the others. */
function roomsOf(broker: Broker, now: number): Room[] {
  const rooms: Room[] = [];
  for (const { name, ending } of broker.targets.values()) {
    const room = Math.min(ending.room(now), broker.limits.reaperBatch);
    if (room > 0) rooms.push({ target: name, room });
  }
  return rooms;
}
