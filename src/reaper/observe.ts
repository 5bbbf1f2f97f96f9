import { nameless } from '../broker/about.ts';
import type { Broker } from '../broker/broker.ts';
import { describe } from '../broker/mint.ts';
import { createLane, type Lane, type LiveTarget, watchGapMs } from '../broker/targets.ts';
import { recordUse, type Seen } from '../broker/use.ts';
import type { Sightings } from '../providers/provider.ts';
import { ID_PATTERN, newId, withDeadline } from '../runtime.ts';
import { leasesByIds } from '../store/leases.ts';
import { claimWatch, openWatch, readCoverage, recordLook } from '../store/target-watch.ts';

/** How long one look at a target may take. */
const LOOK_MS = 5_000;

/** Leases that are read at a time. */
const BATCH = 500;

/** The loop that looks for open sessions of credentials, for one target. Replicas take turns by the target's row. */
export interface TargetObserver {
  /** Looks, when it is this replica's turn; answers how many leases were seen in use, or null when it was not. */
  look(signal: AbortSignal): Promise<number | null>;
  /** Goes on until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** Null for a target that does not show its sessions. */
export function createObserver(broker: Broker, live: LiveTarget): TargetObserver | null {
  const { database, runtime, limits } = broker;
  const { target } = live;
  if (target.observe === undefined) return null;
  const observe = target.observe.bind(target);
  // Its own lane: what is slow here holds up neither minting nor ending, nor they this.
  const lane: Lane = createLane(1, 1, limits.endTimeoutMs, limits);
  const holder = newId(runtime);
  const gapMs = watchGapMs(limits);
  let isOpen = false;

  async function look(signal: AbortSignal): Promise<number | null> {
    // When it was looked cannot be told by a clock that is wrong.
    if ((await broker.clock.fault()) !== null) return null;
    if (!isOpen) await openWatch(database, live.name);
    isOpen = true;
    const now = runtime.now();
    // Shorter than the gap by more than an interval: whoever takes over from the dead leaves none.
    const claim = await claimWatch(database, live.name, holder, now, limits.observeEveryMs * 1.5);
    try {
      if (claim === null || lane.refusal(now) !== null) return null;
      const { sessions, complete } = await lane.run(
        () => withDeadline(runtime, LOOK_MS, (deadline) => observe(deadline), signal),
        runtime.now,
      );
      const { leases, written } = await record(broker, sessions, now);
      // What is not written was not seen, as far as the log can tell.
      if (complete && written) await recordLook(database, live.name, claim.fence, now, gapMs);
      return leases;
    } finally {
      live.coverage = await readCoverage(database, live.name);
    }
  }

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await look(signal);
      } catch (error) {
        if (signal.aborted) return;
        broker.log.warn(
          { target: live.name, ...describe(error), err: nameless(error) },
          'cannot look who uses credentials at a target',
        );
      }
      await runtime.sleep(limits.observeEveryMs, signal).catch(() => {});
    }
  }

  return { look, run };
}

/** Looks at every target that can be looked at, until the signal aborts. */
export async function runObservers(broker: Broker, signal: AbortSignal): Promise<void> {
  const observers = [...broker.targets.values()].map((live) => createObserver(broker, live));
  await Promise.all(observers.map((observer) => observer?.run(signal)));
}

/** Writes what was seen to the leases that it is of. */
async function record(
  broker: Broker,
  sessions: Sightings['sessions'],
  at: number,
): Promise<{ readonly leases: number; readonly written: boolean }> {
  const seen = new Map<string, Seen[]>();
  for (const { name, ...sighting } of sessions) {
    const id = name.startsWith(broker.mark) ? name.slice(broker.mark.length) : '';
    if (!ID_PATTERN.test(id)) continue;
    const ofLease = seen.get(id) ?? [];
    ofLease.push({ ...sighting, at });
    seen.set(id, ofLease);
  }
  const ids = [...seen.keys()];
  let leases = 0;
  let written = true;
  for (let from = 0; from < ids.length; from += BATCH) {
    const rows = await leasesByIds(broker.database, ids.slice(from, from + BATCH));
    const results = await Promise.all(rows.map((row) => recordUse(broker, row, seen.get(row.id) ?? [])));
    leases += rows.length;
    written &&= results.every((result) => result);
  }
  return { leases, written };
}
