import type { Json } from '../json.ts';
import { ok, type Result } from '../result.ts';
import { newId } from '../runtime.ts';
import { actorOf, type Broker } from './broker.ts';
import { evidenceOf } from './intend.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import type { Caller, Role } from './verbs.ts';

/** Whether a caller may know of a task at all: its holder, or somebody who reads everything. */
export function mayRead(caller: Caller, taskId: string): boolean {
  return caller.kind === 'task'
    ? caller.task.id === taskId
    : caller.roles.has('operator') || caller.roles.has('auditor');
}

/**
 * Lets somebody with one of the roles see `what`, and logs that he did before he does. Evidence that may be used once
 * is used up by it.
 */
export async function authorize(
  broker: Broker,
  caller: Caller,
  roles: readonly Role[],
  what: string,
  filter: Json,
): Promise<Result<void, Refusal>> {
  const allowed = caller.kind === 'principal' && roles.some((role) => caller.roles.has(role));
  if (!allowed) {
    return refuse(broker, caller, {}, `read-${what}`, {
      reason: 'not-allowed',
      detail: `It takes the role ${roles.join(' or ')}`,
    });
  }
  return disclose(broker, caller, what, filter);
}

/**
 * Logs that somebody is shown `what` before he is; with a filter of null it is his own, or nobody's secret, and nothing is
 * logged. Evidence that may be used once is used up by it either way, and shows nothing a second time.
 */
export async function disclose(
  broker: Broker,
  caller: Caller,
  what: string,
  filter: Json | null,
): Promise<Result<void, Refusal>> {
  const used = evidenceOf(caller, newId(broker.runtime));
  if (filter === null && used.evidence === undefined) return ok(undefined);
  const told = { kind: 'disclosed', actor: actorOf(caller), about: {}, data: { what, filter } } as const;
  const result = await broker.committer.commit({ ...used, events: filter === null ? [] : [told] });
  if (result.ok) return ok(undefined);
  return refuse(broker, caller, {}, `read-${what}`, {
    reason: 'unauthenticated',
    detail: 'replayed: the evidence may be used once, and was used before',
  });
}
