import type { Broker } from './broker.ts';
import { availableGrants, explain } from './explain.ts';
import { identify } from './identify.ts';
import { introspect } from './introspect.ts';
import { addCredentials, openTask } from './open.ts';
import { listLeases, listTasks, readAudit, readLease, readTask } from './read.ts';
import { renewLease } from './renew.ts';
import { revokeLease } from './revoke.ts';
import { completeTask, heartbeat } from './task.ts';
import { createTaskGrant, readTaskGrant } from './task-grant.ts';
import type { Verbs } from './verbs.ts';

/** The verbs of one broker, for its borders. */
export function createVerbs(broker: Broker): Verbs {
  return {
    identify: (evidence, request, presented) => identify(broker, evidence, request, presented),
    openTask: (caller, ask) => openTask(broker, caller, ask),
    addCredentials: (caller, taskId, ask) => addCredentials(broker, caller, taskId, ask),
    heartbeat: (caller, taskId) => heartbeat(broker, caller, taskId),
    completeTask: (caller, taskId, exitStatus) => completeTask(broker, caller, taskId, exitStatus),
    readTask: (caller, taskId) => readTask(broker, caller, taskId),
    introspect: (caller, token) => introspect(broker, caller, token),
    listTasks: (caller, filter, page) => listTasks(broker, caller, filter, page),
    readLease: (caller, leaseId) => readLease(broker, caller, leaseId),
    listLeases: (caller, filter, page) => listLeases(broker, caller, filter, page),
    renewLease: (caller, leaseId, ttlSeconds) => renewLease(broker, caller, leaseId, ttlSeconds),
    revokeLease: (caller, leaseId, reason) => revokeLease(broker, caller, leaseId, reason),
    availableGrants: (caller) => availableGrants(broker, caller),
    explain: (caller, ask) => explain(broker, caller, ask),
    createTaskGrant: (caller, ask) => createTaskGrant(broker, caller, ask),
    readTaskGrant: (caller, id) => readTaskGrant(broker, caller, id),
    readAudit: (caller, filter, page) => readAudit(broker, caller, filter, page),
  };
}
