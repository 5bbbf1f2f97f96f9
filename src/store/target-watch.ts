import { instant } from '../instant.ts';
import type { Database } from './database.ts';

/** How far back looks at a target follow each other without a gap, and the last of them. Milliseconds since the epoch. */
export interface Coverage {
  readonly unbrokenSince: number;
  readonly lookedAt: number;
}

/** Makes the row of a target, unless there is one. */
export async function openWatch(database: Database, target: string): Promise<void> {
  await database.query(
    {
      name: 'open_watch',
      text: 'insert into target_watch (target, fence) values ($1, 0) on conflict do nothing',
    },
    [target],
  );
}

/** Takes or keeps the right to look at a target; null while another replica has it. Instants are milliseconds since the epoch. */
export async function claimWatch(
  database: Database,
  target: string,
  holder: string,
  now: number,
  forMs: number,
): Promise<{ readonly fence: string } | null> {
  const [row] = await database.query<{ fence: string }>(
    {
      name: 'claim_watch',
      text: `
        update target_watch set holder = $2, held_until = $4,
          fence = case when holder = $2 and held_until > $3 then fence else fence + 1 end
        where target = $1 and (holder = $2 or holder is null or held_until <= $3 or held_until > $5)
        returning fence::text`,
    },
    // A claim that reaches far ahead was made by a clock that was wrong.
    [target, holder, instant(now), instant(now + forMs), instant(now + 10 * forMs)],
  );
  return row ?? null;
}

/**
 * Says that a target was looked at, and that all that was seen is written. A look that follows the one before it after
 * more than `gapMs` begins anew. Does nothing when the claim is another's by now.
 */
export async function recordLook(
  database: Database,
  target: string,
  fence: string,
  lookedAt: number,
  gapMs: number,
): Promise<void> {
  await database.query(
    {
      name: 'record_look',
      text: `
        update target_watch set looked_at = $3,
          unbroken_since = case when looked_at >= $4 then coalesce(unbroken_since, $3) else $3 end
        where target = $1 and fence = $2`,
    },
    [target, fence, instant(lookedAt), instant(lookedAt - gapMs)],
  );
}

/** Null before the first look. */
export async function readCoverage(database: Database, target: string): Promise<Coverage | null> {
  const [row] = await database.query<{ since: string | null; looked: string | null }>(
    {
      name: 'read_coverage',
      text: `
        select (extract(epoch from unbroken_since) * 1000)::bigint::text as since,
          (extract(epoch from looked_at) * 1000)::bigint::text as looked
        from target_watch where target = $1`,
    },
    [target],
  );
  if (row?.since == null || row.looked === null) return null;
  return { unbrokenSince: Number(row.since), lookedAt: Number(row.looked) };
}
