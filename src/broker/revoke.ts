import { ok, type Result } from '../result.ts';
import { readLease } from '../store/leases.ts';
import type { LeaseRow } from '../store/rows.ts';
import { aboutLease } from './about.ts';
import { actorOf, type Broker } from './broker.ts';
import { endLease, waitAtMost } from './end.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import { changedMeanwhile } from './task.ts';
import type { Caller } from './verbs.ts';

/** Ends one lease before its time, for its task's holder or an operator. The reason given is in the log. */
export async function revokeLease(
  broker: Broker,
  caller: Caller,
  leaseId: string,
  reason: string,
): Promise<Result<LeaseRow, Refusal>> {
  const lease = await readLease(broker.database, leaseId);
  const allowed = caller.kind === 'task' ? caller.task.id === lease?.taskId : caller.roles.has('operator');
  if (lease === null || !allowed) {
    return refuse(broker, caller, lease ? aboutLease(lease) : { lease: leaseId }, 'revoke-lease', {
      reason: 'not-found',
      detail: "There is no such lease, or it is not the caller's",
    });
  }
  await waitAtMost(
    broker,
    endLease(broker, leaseId, { reason: 'revoked', actor: actorOf(caller), note: reason }),
  );
  const after = (await readLease(broker.database, leaseId)) ?? lease;
  if (after.state === 'minting' || after.state === 'active') {
    return changedMeanwhile(broker, caller, aboutLease(lease), 'revoke-lease');
  }
  return ok(after);
}
