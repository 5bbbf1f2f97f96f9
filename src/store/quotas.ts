import { instant } from '../instant.ts';
import type { Database } from './database.ts';

/** The counter behind a grant's limits. */
export function grantQuota(grant: string): string {
  return `grant:${grant}`;
}

/**
 * Sees to it that each limited grant has its counter. Called at start, before anything is issued. A grant that was
 * not limited before starts from a count of its live leases; these are marked as counted in the same statement,
 * so that each leaves the count when it ends. They are locked in the order of their ids, as by every commit.
 */
export async function ensureQuotas(
  database: Database,
  grants: readonly string[],
  now: number,
): Promise<void> {
  if (grants.length === 0) return;
  await database.query(ENSURE, [grants, instant(now)]);
}

const ENSURE = {
  name: 'ensure_quotas',
  text: `
    with missing as (
      select name from unnest($1::text[]) as g (name)
      where not exists (select from quota q where q.key = 'grant:' || g.name)),
    uncounted as materialized (
      select id from lease where state <> 'ended' and not counted and grant_name in (select name from missing)
      order by id for update),
    counted as (
      update lease set counted = true, version = version + 1
      where id = any (array(select id from uncounted)) and not counted returning grant_name)
    insert into quota (key, live, hour)
    select 'grant:' || m.name, (select count(*) from counted c where c.grant_name = m.name),
      date_trunc('hour', $2::timestamptz, 'UTC')
    from missing m
    on conflict (key) do nothing`,
};
