import type { NewEvent } from '../audit/event.ts';
import { HallpassError, mayHaveTakenEffect, ProviderError } from '../errors.ts';
import { instant } from '../instant.ts';
import { isStorable, type Json, storable } from '../json.ts';
import type { Minted, Terms } from '../providers/provider.ts';
import { err, ok, type Result } from '../result.ts';
import { withDeadline } from '../runtime.ts';
import { readLease } from '../store/leases.ts';
import { grantQuota } from '../store/quotas.ts';
import type { LeaseRow, TaskRow } from '../store/rows.ts';
import { aboutLease, nameless } from './about.ts';
import type { Broker } from './broker.ts';
import { changeLease, committed } from './lease.ts';
import type { Refusal } from './refusal.ts';
import type { Seal } from './seal.ts';
import type { LiveTarget } from './targets.ts';
import type { IssuedCredential } from './verbs.ts';

/** How often a change is tried again when somebody else changed the same lease first. Each loss means progress elsewhere. */
export const CHANGE_ATTEMPTS = 10;

/**
 * Turns one intended lease into a credential. The intent is durable; whoever dies in here leaves a lease in `minting`
 * that the reaper takes at the end of its mint window. The secret leaves only after `active` is durable.
 */
export async function mintLease(
  broker: Broker,
  task: TaskRow,
  lease: LeaseRow,
  live: LiveTarget,
  seal: Seal | null,
): Promise<Result<IssuedCredential, Refusal>> {
  const startedAt = broker.runtime.now();
  const minted = await callProvider(broker, task, lease, live);
  if (!minted.ok) {
    await recordFailure(broker, lease, minted.error);
    return err({ reason: 'mint-failed', detail: `${lease.target}: ${describe(minted.error).detail}` });
  }
  const fault = brokenTerm(minted.value, lease);
  if (fault !== null) {
    // A provider that breaks its terms is a bug: what it made is ended like any credential that went wrong.
    await recordFailure(broker, lease, new HallpassError('target-failed', fault));
    await handOver(broker, lease.id, minted.value);
    return err({ reason: 'mint-failed', detail: `${lease.target}: ${fault}` });
  }
  const { secret, handle, expiresAt } = minted.value;
  const now = broker.runtime.now();
  broker.observe.issued(lease.target, now - startedAt);
  const sealed = seal === null ? null : await seal(JSON.stringify(secret));
  const due = Math.min(expiresAt, lease.expiresAt);
  const active = changeLease(lease, {
    do: 'issue',
    issuedAt: now,
    expiresAt: due,
    dueAt: Math.min(due, task.heartbeatDueAt ?? due),
    handle,
    sealed,
  });
  const result = await broker.committer.commit({
    changedLeases: [active],
    events: [
      {
        kind: 'lease.issued',
        actor: { kind: 'system' },
        about: aboutLease(lease),
        data: { expiresAt: instant(due), sealed: sealed !== null },
      },
    ],
  });
  if (!result.ok) {
    // Its ending began while it was being made. What was made is never handed out; its ender gets the handle.
    await handOver(broker, lease.id, minted.value);
    return err({ reason: 'task-ended', detail: 'The lease was ended while it was being issued' });
  }
  return ok({
    name: lease.credential,
    lease: committed(active),
    secret: seal === null ? secret : null,
    sealed,
  });
}

async function callProvider(
  broker: Broker,
  task: TaskRow,
  lease: LeaseRow,
  live: LiveTarget,
): Promise<Result<Minted, unknown>> {
  const { runtime, limits } = broker;
  // What is left of the window after it is for clocks that differ: the reaper's, another replica's, the target's.
  const mintBefore = (lease.dueAt ?? 0) - (limits.mintWindowMs - limits.mintTimeoutMs);
  try {
    const tooLate = () =>
      runtime.now() < mintBefore
        ? null
        : new ProviderError('target-throttled', 'The target was too busy: its turn came too late');
    const mint = () => {
      const now = runtime.now();
      const terms: Terms = {
        leaseId: lease.id,
        name: lease.name,
        now,
        mintBefore,
        expiresAt: lease.expiresAt,
        context: {
          issuer: task.issuer,
          subject: task.subject,
          grant: task.grant,
          task: task.name,
          taskId: task.id,
          purpose: task.purpose,
        },
      };
      return withDeadline(runtime, Math.min(mintBefore - now, limits.mintTimeoutMs), (signal) =>
        live.target.mint(lease.scope, terms, signal),
      );
    };
    return ok(await live.minting.run(mint, runtime.now, tooLate));
  } catch (error) {
    return err(error);
  }
}

/** What is wrong with a provider's answer, or null. */
function brokenTerm({ expiresAt, handle }: Minted, lease: LeaseRow): string | null {
  if (!Number.isSafeInteger(Math.trunc(expiresAt))) return 'The provider gave no instant as expiry';
  if (expiresAt > lease.expiresAt)
    return `The provider gave ${instant(expiresAt)} as expiry, later than asked`;
  if (!isStorable(handle)) return 'The provider gave a handle that cannot be stored';
  return null;
}

/** Nothing was made: the lease ends. Something may have been: it has to be ended once the mint window is over. */
async function recordFailure(broker: Broker, lease: LeaseRow, error: unknown): Promise<void> {
  const now = broker.runtime.now();
  const { code, detail } = describe(error);
  const mayExist = mayHaveTakenEffect(error);
  broker.observe.mintFailed(lease.target, code);
  broker.log.warn(
    { lease: lease.id, target: lease.target, code, detail, mayExist, err: nameless(error) },
    'mint failed',
  );
  const evidence: Json = { refused: code };
  const changed = mayExist
    ? changeLease(lease, {
        do: 'begin-ending',
        reason: 'mint-failed',
        at: now,
        dueAt: Math.max(now, lease.dueAt ?? now),
        attempts: 0,
      })
    : changeLease(lease, {
        do: 'end',
        at: now,
        outcome: 'never-minted',
        evidence,
        use: null,
        reason: 'mint-failed',
      });
  const about = aboutLease(lease);
  await broker.committer.commit({
    changedLeases: [changed],
    ...releaseQuota(changed),
    events: [
      { kind: 'lease.mint-failed', actor: { kind: 'system' }, about, data: { code, detail, mayExist } },
      mayExist
        ? { kind: 'lease.ending', actor: { kind: 'system' }, about, data: { reason: 'mint-failed' } }
        : {
            kind: 'lease.ended',
            actor: { kind: 'system' },
            about,
            data: { outcome: 'never-minted', reason: 'mint-failed', evidence },
          },
    ],
  });
  // A version conflict means that its ending began already: whoever began it goes on.
}

/** Gives what ending needs to whoever ends the lease. Failing here is safe: it is then ended by its name. */
async function handOver(broker: Broker, leaseId: string, minted: Minted): Promise<void> {
  const handle = isStorable(minted.handle) ? minted.handle : null;
  const lapsesAt = Number.isSafeInteger(Math.trunc(minted.expiresAt)) ? minted.expiresAt : 0;
  for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
    const lease = await readLease(broker.database, leaseId);
    if (lease === null || !['minting', 'ending'].includes(lease.state) || lease.evidence !== null) return;
    const now = broker.runtime.now();
    // Still minting, and not let into being: a kill came between. Whoever ends it next needs the handle.
    const begins = lease.state === 'minting';
    const ending = begins ? beginEndingOf(lease, now) : lease;
    const expiresAt = Math.max(lease.expiresAt, lapsesAt);
    const changed = changeLease(ending, { do: 'postpone', dueAt: now, handle, expiresAt });
    const events = begins ? [killedEvent(ending)] : [];
    if ((await broker.committer.commit({ changedLeases: [changed], events })).ok) {
      broker.wakeReaper();
      return;
    }
  }
}

function beginEndingOf(lease: LeaseRow, now: number): LeaseRow {
  return changeLease(lease, { do: 'begin-ending', reason: 'killed', at: now, dueAt: now, attempts: 0 });
}

function killedEvent(lease: LeaseRow): NewEvent {
  const reason = lease.endReason ?? 'killed';
  return { kind: 'lease.ending', actor: { kind: 'system' }, about: aboutLease(lease), data: { reason } };
}

/** The part of a commit that takes an ended lease out of its grant's count. */
export function releaseQuota(lease: LeaseRow) {
  if (lease.state !== 'ended' || !lease.counted) return {};
  return {
    quotas: [
      {
        key: grantQuota(lease.grant),
        live: -1,
        total: 0,
        issued: 0,
        maxLive: null,
        maxTotal: null,
        maxIssuedAnHour: null,
      },
    ],
  };
}

/** Characters of a target's own words that are kept. */
const DETAIL_LENGTH = 1_000;

/** The code and the sentence of a failed call, for the operator: bounded, and as the store can take it. */
export function describe(error: unknown): { readonly code: string; readonly detail: string } {
  if (error instanceof HallpassError) {
    return { code: error.code, detail: String(storable(error.message.slice(0, DETAIL_LENGTH))) };
  }
  return { code: 'internal', detail: "The provider failed in a way it should not: see the broker's log" };
}
