import { cutGrant } from '../grants/cut.ts';
import { instant } from '../instant.ts';
import { ok, type Result } from '../result.ts';
import { newId } from '../runtime.ts';
import type { TaskGrantRow } from '../store/rows.ts';
import { readTaskGrant as readTaskGrantRow } from '../store/task-grants.ts';
import { authorize } from './authorize.ts';
import { actorOf, type Broker } from './broker.ts';
import { evidenceOf } from './intend.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import type { Caller, CreateTaskGrant } from './verbs.ts';

/**
 * Cuts a task grant from a grant of the configuration: for one run, never wider than the grant, with an expiry and a
 * number of uses. Whether it is within the grant is checked here, and again each time that it is used.
 */
export async function createTaskGrant(
  broker: Broker,
  caller: Caller,
  ask: CreateTaskGrant,
): Promise<Result<TaskGrantRow, Refusal>> {
  const request = 'create-task-grant';
  const no = (detail: string) =>
    refuse(broker, caller, { grant: ask.grant }, request, { reason: 'not-allowed', detail });
  if (caller.kind !== 'principal' || !caller.roles.has('orchestrator'))
    return no('It takes the role orchestrator');
  const grant = broker.grants.get(ask.grant);
  if (grant === undefined) return no(`grant: there is no grant "${ask.grant}"`);
  const now = broker.runtime.now();
  const terms = cutGrant(grant, ask, now);
  if (!terms.ok) return no(`${terms.error.reason}: ${terms.error.detail}`);
  const { cut, expiresAt, uses } = terms.value;
  const taskGrant: TaskGrantRow = {
    id: newId(broker.runtime),
    grant: grant.name,
    grantVersion: grant.version,
    cut: { ...cut },
    createdBy: { issuer: caller.principal.issuer, subject: caller.principal.subject },
    createdAt: now,
    expiresAt,
    uses,
    used: 0,
  };
  const result = await broker.committer.commit({
    newTaskGrant: taskGrant,
    ...evidenceOf(caller, taskGrant.id),
    events: [
      {
        kind: 'task-grant.created',
        actor: actorOf(caller),
        about: { grant: grant.name },
        data: {
          id: taskGrant.id,
          grantVersion: grant.version,
          cut: taskGrant.cut,
          uses,
          expiresAt: instant(expiresAt),
        },
      },
    ],
  });
  if (result.ok) return ok(taskGrant);
  return refuse(broker, caller, { grant: ask.grant }, request, {
    reason: 'unauthenticated',
    detail: 'replayed: the evidence may be used once, and was used before',
  });
}

export async function readTaskGrant(
  broker: Broker,
  caller: Caller,
  id: string,
): Promise<Result<TaskGrantRow, Refusal>> {
  const permission = await authorize(broker, caller, ['operator', 'auditor', 'orchestrator'], 'task-grant', {
    id,
  });
  if (!permission.ok) return permission;
  const row = await readTaskGrantRow(broker.database, id);
  if (row !== null) return ok(row);
  return refuse(broker, caller, {}, 'read-task-grant', {
    reason: 'not-found',
    detail: 'There is no such task grant',
  });
}
