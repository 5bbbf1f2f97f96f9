import { aboutLease, nameless } from '../broker/about.ts';
import type { Broker } from '../broker/broker.ts';
import { describe } from '../broker/mint.ts';
import type { LiveTarget } from '../broker/targets.ts';
import { ID_PATTERN, withDeadline } from '../runtime.ts';
import { leasesByIds } from '../store/leases.ts';

/** How long reading one target's inventory may take. */
const INVENTORY_TIMEOUT_MS = 300_000;

/** Names that are compared with the leases at a time. */
const BATCH = 500;

/** What a sweep of one target came to. */
export interface Swept {
  readonly target: string;
  readonly seen: number;
  readonly orphans: number;
  readonly ended: number;
}

/**
 * Compares what bears our mark at a target with the leases, and ends what has no lease that has not ended: a
 * credential that came into being behind our back, or one that was there again after its end. Since intent comes
 * before mint (invariant 1), a name that is seen now and has no lease now never had one that still counts.
 */
export async function sweepTarget(broker: Broker, live: LiveTarget, signal: AbortSignal): Promise<Swept> {
  const { target } = live;
  let seen = 0;
  let orphans = 0;
  let ended = 0;
  if (target.ends !== 'expiry-only') await target.tidy?.(signal);
  if (target.inventory === undefined) return { target: live.name, seen, orphans, ended };
  // By the clock of whichever replica ended it.
  const endedBefore = broker.runtime.now() - broker.limits.clockToleranceMs;
  for await (const names of batches(target.inventory(signal))) {
    seen += names.length;
    for (const { name, why } of await orphansAmong(broker, names, endedBefore)) {
      orphans++;
      if (await endOrphan(broker, live, name, why)) ended++;
    }
  }
  return { target: live.name, seen, orphans, ended };
}

/** Sweeps every target now and then, until the signal aborts. A target that cannot be read is said, and tried again. */
export async function runSweeps(broker: Broker, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    for (const live of broker.targets.values()) {
      try {
        // By a clock that is ahead, a lease that has just ended would have ended long ago.
        if ((await broker.clock.fault()) !== null) continue;
        const swept = await withDeadline(
          broker.runtime,
          INVENTORY_TIMEOUT_MS,
          (deadline) => sweepTarget(broker, live, deadline),
          signal,
        );
        if (swept.orphans > 0)
          broker.log.error(swept, 'credentials without a live lease were found at a target');
      } catch (error) {
        if (signal.aborted) return;
        broker.log.warn(
          { target: live.name, ...describe(error), err: nameless(error) },
          'cannot sweep a target',
        );
      }
    }
    await broker.runtime.sleep(broker.limits.sweepEveryMs, signal).catch(() => {});
  }
}

interface Orphan {
  readonly name: string;
  readonly why: 'no-lease' | 'lease-ended';
}

/** A lease that ended since the sweep began says nothing: its credential was there when the inventory was read. */
async function orphansAmong(
  broker: Broker,
  names: readonly string[],
  endedBefore: number,
): Promise<Orphan[]> {
  const ids = names.map((name) => name.slice(broker.mark.length)).filter((id) => ID_PATTERN.test(id));
  const leases = new Map((await leasesByIds(broker.database, ids)).map((lease) => [lease.id, lease]));
  return names.flatMap((name): Orphan[] => {
    if (!name.startsWith(broker.mark)) return [];
    const lease = leases.get(name.slice(broker.mark.length));
    if (lease === undefined) return [{ name, why: 'no-lease' }];
    return lease.endedAt !== null && lease.endedAt < endedBefore ? [{ name, why: 'lease-ended' }] : [];
  });
}

async function endOrphan(
  broker: Broker,
  live: LiveTarget,
  name: string,
  why: Orphan['why'],
): Promise<boolean> {
  const leaseId = name.slice(broker.mark.length);
  const [lease] = ID_PATTERN.test(leaseId) ? await leasesByIds(broker.database, [leaseId]) : [];
  const about = lease ? aboutLease(lease) : { target: live.name };
  const { runtime, limits, committer } = broker;
  await committer.commit({
    events: [{ kind: 'orphan.found', actor: { kind: 'system' }, about, data: { name, why } }],
  });
  const { target } = live;
  if (target.ends === 'expiry-only') return false;
  const ending = {
    leaseId,
    name,
    handle: lease?.handle ?? null,
    expiresAt: lease?.expiresAt ?? runtime.now(),
  };
  try {
    const ended = await live.ending.run(
      () => withDeadline(runtime, limits.endTimeoutMs, (signal) => target.end(ending, signal)),
      runtime.now,
    );
    await committer.commit({
      events: [
        { kind: 'orphan.ended', actor: { kind: 'system' }, about, data: { name, evidence: ended.evidence } },
      ],
    });
    return true;
  } catch (error) {
    // It is still there: the next sweep finds it again.
    broker.log.error(
      { target: live.name, name, ...describe(error), err: nameless(error) },
      'cannot end an orphan',
    );
    return false;
  }
}

async function* batches(items: AsyncIterable<{ readonly name: string }>): AsyncGenerator<string[]> {
  let batch: string[] = [];
  for await (const { name } of items) {
    batch.push(name);
    if (batch.length === BATCH) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}
