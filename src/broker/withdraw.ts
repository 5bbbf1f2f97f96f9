import type { TaskRow } from '../store/rows.ts';
import { openTasksOf } from '../store/tasks.ts';
import type { Broker } from './broker.ts';
import { endTask } from './end.ts';

/**
 * Ends open tasks of grants that the configuration withdraws by name, at most `limit`; answers how many have ended. The
 * housekeeping of every replica calls it, so that what another with an older configuration still opened ends too. A
 * grant that is only left out is none of these: a replica with an older configuration knows less of the newest grants,
 * and must not end what others opened under them.
 */
export async function endWithdrawn(broker: Broker, limit: number): Promise<number> {
  const { withdrawn, database, log } = broker;
  if (withdrawn.size === 0) return 0;
  const tasks = await openTasksOf(database, [...withdrawn], limit);
  const ended = await Promise.all(
    tasks.map(({ id }) =>
      endTask(broker, id, END).then(
        () => true,
        (error: unknown) => {
          log.error({ task: id, err: error }, 'ending a withdrawn task failed, and will be tried again');
          return false;
        },
      ),
    ),
  );
  return ended.filter(Boolean).length;
}

const END = {
  reason: 'withdrawn',
  exitStatus: null,
  actor: { kind: 'system' },
  stillHolds: (task: TaskRow) => task.endReason === null,
  // A target that is slow must not hold up the housekeeping.
  leaveToReaper: true,
} as const;
