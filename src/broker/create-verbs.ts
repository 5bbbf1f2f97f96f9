import { isStorable, type Json } from '../json.ts';
import { addCredentials } from './add-credentials.ts';
import type { Broker } from './broker.ts';
import { availableGrants, explain } from './explain.ts';
import { identify } from './identify.ts';
import { introspect } from './introspect.ts';
import { kill, liftBlock, listBlocks, readKill } from './kill.ts';
import { openTask } from './open.ts';
import { listLeases, listTasks, readAudit, readLease, readTask } from './read.ts';
import { refuse } from './refuse.ts';
import { renewLease } from './renew.ts';
import { approveRequest, cancelRequest, denyRequest, listRequests, readRequest } from './requests.ts';
import { closeReview, listReviews, readReview } from './reviews.ts';
import { revokeLease } from './revoke.ts';
import { completeTask, heartbeat } from './task.ts';
import { createTaskGrant, readTaskGrant } from './task-grant.ts';
import { deliverTrail } from './trail.ts';
import type { Caller, Verbs } from './verbs.ts';

/** The verbs of one broker, for its borders. */
export function createVerbs(broker: Broker): Verbs {
  /** Lets a request through whose every text can be stored and logged, and refuses it otherwise. */
  async function storable<T>(caller: Caller, request: string, texts: unknown, verb: () => Promise<T>) {
    if (isStorable((texts ?? null) as Json)) return verb();
    return refuse(broker, caller, {}, request, {
      reason: 'invalid-request',
      detail: 'The request has a text with NUL or half a surrogate pair in it: send well-formed text',
    });
  }
  return {
    identify: (evidence, request, presented) => identify(broker, evidence, request, presented),
    openTask: (caller, ask) => storable(caller, 'open-task', ask, () => openTask(broker, caller, ask)),
    addCredentials: (caller, taskId, ask) =>
      storable(caller, 'add-credentials', [taskId, ask], () => addCredentials(broker, caller, taskId, ask)),
    heartbeat: (caller, taskId) =>
      storable(caller, 'heartbeat', taskId, () => heartbeat(broker, caller, taskId)),
    completeTask: (caller, taskId, exitStatus) =>
      storable(caller, 'complete-task', taskId, () => completeTask(broker, caller, taskId, exitStatus)),
    readTask: (caller, taskId) =>
      storable(caller, 'read-task', taskId, () => readTask(broker, caller, taskId)),
    introspect: (caller, token) =>
      storable(caller, 'introspect', token, () => introspect(broker, caller, token)),
    listTasks: (caller, filter, page) =>
      storable(caller, 'read-tasks', [filter, page], () => listTasks(broker, caller, filter, page)),
    readLease: (caller, leaseId) =>
      storable(caller, 'read-lease', leaseId, () => readLease(broker, caller, leaseId)),
    listLeases: (caller, filter, page) =>
      storable(caller, 'read-leases', [filter, page], () => listLeases(broker, caller, filter, page)),
    renewLease: (caller, leaseId, ttlSeconds) =>
      storable(caller, 'renew-lease', leaseId, () => renewLease(broker, caller, leaseId, ttlSeconds)),
    revokeLease: (caller, leaseId, reason) =>
      storable(caller, 'revoke-lease', [leaseId, reason], () => revokeLease(broker, caller, leaseId, reason)),
    listRequests: (caller) => listRequests(broker, caller),
    readRequest: (caller, id) => storable(caller, 'read-request', id, () => readRequest(broker, caller, id)),
    approveRequest: (caller, id, ask) =>
      storable(caller, 'approve-request', [id, ask], () => approveRequest(broker, caller, id, ask)),
    denyRequest: (caller, id, reason) =>
      storable(caller, 'deny-request', [id, reason], () => denyRequest(broker, caller, id, reason)),
    cancelRequest: (caller, id, reason) =>
      storable(caller, 'cancel-request', [id, reason], () => cancelRequest(broker, caller, id, reason)),
    listReviews: (caller) => listReviews(broker, caller),
    readReview: (caller, id) => storable(caller, 'read-review', id, () => readReview(broker, caller, id)),
    closeReview: (caller, id, finding) =>
      storable(caller, 'close-review', [id, finding], () => closeReview(broker, caller, id, finding)),
    kill: (caller, ask) => storable(caller, 'kill', ask, () => kill(broker, caller, ask)),
    readKill: (caller, id) => storable(caller, 'read-kill', id, () => readKill(broker, caller, id)),
    listBlocks: (caller) => listBlocks(broker, caller),
    liftBlock: (caller, id, reason) =>
      storable(caller, 'lift-block', [id, reason], () => liftBlock(broker, caller, id, reason)),
    availableGrants: (caller) => availableGrants(broker, caller),
    explain: (caller, ask) => storable(caller, 'read-explanation', ask, () => explain(broker, caller, ask)),
    createTaskGrant: (caller, ask) =>
      storable(caller, 'create-task-grant', ask, () => createTaskGrant(broker, caller, ask)),
    readTaskGrant: (caller, id) =>
      storable(caller, 'read-task-grant', id, () => readTaskGrant(broker, caller, id)),
    deliverTrail: (name, bearer, body) => deliverTrail(broker, name, bearer, body),
    readAudit: (caller, filter, page) =>
      storable(caller, 'read-audit', [filter, page], () => readAudit(broker, caller, filter, page)),
  };
}
