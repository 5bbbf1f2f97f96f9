import type { Outcome } from '../audit/event.ts';
import { ProviderError } from '../errors.ts';
import { instant } from '../instant.ts';
import { type Json, storable } from '../json.ts';
import type { BrokerLimits } from '../limits.ts';
import type { EndableTarget, Ended, Sighting } from '../providers/provider.ts';
import { withDeadline } from '../runtime.ts';
import { readLease } from '../store/leases.ts';
import type { LeaseRow } from '../store/rows.ts';
import { aboutLease, nameless } from './about.ts';
import type { Broker } from './broker.ts';
import { changeLease, committed } from './lease.ts';
import { describe, releaseQuota } from './mint.ts';
import { type LiveTarget, watchGapMs } from './targets.ts';
import { useAtEnd, useData } from './use.ts';

/** One attempt to settle how a lease ends, by whoever holds its claim; the result is committed, whichever it is. */
export async function settle(broker: Broker, lease: LeaseRow): Promise<LeaseRow> {
  const live = broker.targets.get(lease.target);
  if (live === undefined) return lease;
  const { target, kind } = live;
  // Whoever did not make it cannot say that it is gone.
  if (kind.kind !== lease.provider) return endLater(broker, lease, madeByAnother(lease, kind.kind));
  if (target.ends === 'expiry-only') return settleByExpiry(broker, lease, lease.expiresAt, {});
  // Denied at an earlier attempt, and due because by now that is in force, or because it lapsed before.
  if (lease.evidence !== null) {
    const hasLapsed = live.kind.targetExpires && lease.expiresAt <= broker.runtime.now();
    return hasLapsed
      ? settleByExpiry(broker, lease, lease.expiresAt, { denied: lease.evidence })
      : finish(broker, lease, 'denied', lease.evidence);
  }
  let ended: Ended;
  try {
    ended = await endAtTarget(broker, lease, live, target);
  } catch (error) {
    return endLater(broker, lease, error);
  }
  const evidence = storable(ended.evidence);
  const outcome = outcomeOf(lease, live, target, ended);
  const lapsesAt = ended.lapsesAt ?? (outcome === 'expired' && !ended.lapsed ? lease.expiresAt : undefined);
  if (lapsesAt !== undefined) return settleByExpiry(broker, lease, lapsesAt, { withdrawn: evidence });
  if (outcome !== 'denied' || ended.effectiveAt === undefined)
    return finish(broker, lease, outcome, evidence, ended.sessions);
  return denyFrom(broker, lease, evidence, ended.effectiveAt);
}

function madeByAnother({ target, provider }: LeaseRow, now: string): ProviderError {
  return new ProviderError(
    'target-refused',
    `Cannot end what provider "${provider}" made: target "${target}" is of provider "${now}" by now, give that another name and restore this one until its leases have ended`,
  );
}

/** A denial takes its time to be in force everywhere: until then the credential may work, and the lease is not ended. */
async function denyFrom(
  broker: Broker,
  lease: LeaseRow,
  denial: Json,
  effectiveAt: number,
): Promise<LeaseRow> {
  const evidence: Json = { denial, effectiveAt: instant(effectiveAt) };
  if (effectiveAt <= broker.runtime.now()) return finish(broker, lease, 'denied', evidence);
  const waiting = changeLease(lease, { do: 'end-later', dueAt: effectiveAt, error: null, evidence });
  const result = await broker.committer.commit({ changedLeases: [waiting], events: [] });
  return result.ok ? committed(waiting) : lease;
}

/** Durable before: `ending` and the claim. A death in here is an attempt that nobody heard of; the next one finds what is left. */
function endAtTarget(
  broker: Broker,
  lease: LeaseRow,
  live: LiveTarget,
  target: EndableTarget,
): Promise<Ended> {
  const { runtime, limits } = broker;
  const ending = { leaseId: lease.id, name: lease.name, handle: lease.handle, expiresAt: lease.expiresAt };
  return live.ending.run(
    () => withDeadline(runtime, limits.endTimeoutMs, (signal) => target.end(ending, signal)),
    runtime.now,
  );
}

/**
 * Never minted, if nothing was there and nothing can have been: the lease was never issued, and this is the first
 * attempt to end it, so no earlier one can have removed it without our hearing of it. A target that finds nothing by
 * the name alone cannot say that: what it may have made is denied by its name, or lapses.
 */
function outcomeOf(lease: LeaseRow, { kind }: LiveTarget, target: EndableTarget, ended: Ended): Outcome {
  if (ended.lapsed) return 'expired';
  const neverSeen = lease.issuedAt === null && lease.handle === null;
  if (!ended.found && neverSeen) {
    if (kind.settles === 'bounded-by-ttl') return target.ends === 'denied' ? 'denied' : 'expired';
    if (lease.attempts <= 1) return 'never-minted';
  }
  return target.ends === 'confirmed' ? 'revoked' : 'denied';
}

/** What cannot be withdrawn has ended when it has lapsed, and not before. */
async function settleByExpiry(
  broker: Broker,
  lease: LeaseRow,
  lapsesAt: number,
  seen: { readonly [name: string]: Json },
): Promise<LeaseRow> {
  // Ours may be the clock that is ahead: it is said only when it is so by any clock that a ready replica can have.
  const certainAt = lapsesAt + broker.limits.clockToleranceMs;
  if (broker.runtime.now() < certainAt) {
    const waiting = changeLease(lease, { do: 'end-later', dueAt: certainAt, error: null });
    const result = await broker.committer.commit({ changedLeases: [waiting], events: [] });
    return result.ok ? committed(waiting) : lease;
  }
  // A clock that jumped since the claim has not made it so. The claim times out, and whoever is next looks again.
  if ((await broker.clock.fault()) !== null) return lease;
  const evidence: Json = { ...seen, lapsedAt: instant(lapsesAt), received: lease.issuedAt !== null };
  return finish(broker, lease, 'expired', evidence);
}

async function finish(
  broker: Broker,
  lease: LeaseRow,
  outcome: Outcome,
  evidence: Json,
  sessions?: readonly Sighting[],
): Promise<LeaseRow> {
  const now = broker.runtime.now();
  const coverage = broker.targets.get(lease.target)?.coverage ?? null;
  const use = useAtEnd(lease, { sessions, coverage, now, gapMs: watchGapMs(broker.limits) });
  const ended = changeLease(lease, { do: 'end', at: now, outcome, evidence, use });
  const result = await broker.committer.commit({
    changedLeases: [ended],
    ...releaseQuota(ended),
    events: [
      {
        kind: 'lease.ended',
        actor: { kind: 'system' },
        about: aboutLease(lease),
        data: {
          outcome,
          reason: lease.endReason ?? 'expired',
          evidence,
          ...(use === null ? {} : { use: useData(use) }),
        },
      },
    ],
  });
  if (!result.ok) {
    const after = await readLease(broker.database, lease.id);
    // It was seen in use while it ended: the claim still holds, and its end says so.
    const holds =
      after?.state === 'ending' && after.attempts === lease.attempts && after.dueAt === lease.dueAt;
    if (holds && after.version > lease.version) return finish(broker, after, outcome, evidence, sessions);
    return after ?? lease;
  }
  broker.observe.ended(lease.target, outcome, now - (lease.endingSince ?? now));
  return committed(ended);
}

/** There is no last attempt: the next is later each time, up to a cap, for ever (invariant 2). */
async function endLater(broker: Broker, lease: LeaseRow, error: unknown): Promise<LeaseRow> {
  const now = broker.runtime.now();
  const { code, detail } = describe(error);
  const dueAt = now + retryDelayMs(broker.limits, lease.attempts, broker.runtime.randomBytes(1)[0] ?? 0);
  const overdue = now - (lease.endingSince ?? now) > broker.limits.overdueAfterMs;
  broker.observe.endFailed(lease.target, code);
  broker.log[overdue ? 'error' : 'warn'](
    {
      lease: lease.id,
      target: lease.target,
      code,
      detail,
      attempt: lease.attempts,
      overdue,
      err: nameless(error),
    },
    'ending failed, and goes on',
  );
  const later = changeLease(lease, { do: 'end-later', dueAt, error: `${code}: ${detail}` });
  const result = await broker.committer.commit({
    changedLeases: [later],
    events: [
      {
        kind: 'lease.end-failed',
        actor: { kind: 'system' },
        about: aboutLease(lease),
        data: { code, detail, attempt: lease.attempts, nextAttemptAt: instant(dueAt), overdue },
      },
    ],
  });
  return result.ok ? committed(later) : lease;
}

/** Doubles from the first wait to the cap, and spreads by up to a quarter, so that failures do not march in step. */
export function retryDelayMs(limits: BrokerLimits, attempt: number, random: number): number {
  const doubled = limits.endRetryFirstMs * 2 ** Math.min(attempt - 1, 30);
  const capped = Math.min(doubled, limits.endRetryCapMs);
  return Math.round(capped * (0.75 + (random / 255) * 0.25));
}
