import { eq, getTableColumns, sql } from 'drizzle-orm';
import { type Database, withUnavailable } from './database.ts';
import type { TaskGrantRow } from './rows.ts';
import { quota, taskGrant } from './schema.ts';

/** The counter behind a task grant's uses: made together with it by the group commit. */
export function taskGrantQuota(id: string): string {
  return `task-grant:${id}`;
}

export async function readTaskGrant(database: Database, id: string): Promise<TaskGrantRow | null> {
  const rows = await withUnavailable(() =>
    database.orm
      .select({ ...getTableColumns(taskGrant), used: quota.total })
      .from(taskGrant)
      .innerJoin(quota, sql`${quota.key} = 'task-grant:' || ${taskGrant.id}`)
      .where(eq(taskGrant.id, id)),
  );
  return rows[0] ?? null;
}
