import { ok, type Result } from '../result.ts';
import type { LeaseRow, TaskRow } from '../store/rows.ts';
import { authorize } from './authorize.ts';
import type { Broker } from './broker.ts';
import { taskOfToken } from './identify.ts';
import { hasEnded } from './permit.ts';
import type { Refusal } from './refusal.ts';
import type { Caller } from './verbs.ts';

/**
 * What a task's token is good for: for its holder, who learns nothing of other tokens, and for operators and auditors,
 * whose look is in the log. Null for what is no token of ours and for a token whose task has ended.
 */
export async function introspect(
  broker: Broker,
  caller: Caller,
  token: string,
): Promise<Result<{ task: TaskRow; leases: readonly LeaseRow[] } | null, Refusal>> {
  const found = await taskOfToken(broker, token);
  const task = found?.task ?? null;
  if (caller.kind === 'principal') {
    const permission = await authorize(broker, caller, ['operator', 'auditor'], 'token', {
      task: task?.id ?? null,
    });
    if (!permission.ok) return permission;
  } else if (caller.task.id !== task?.id) {
    return ok(null);
  }
  return ok(found === null || hasEnded(found.task, broker.runtime.now()) ? null : found);
}
