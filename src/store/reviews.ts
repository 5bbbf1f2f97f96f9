import { getTableColumns } from 'drizzle-orm';
import { instant } from '../instant.ts';
import type { Database } from './database.ts';
import { rowReader, type StoredRow } from './mapping.ts';
import type { ReviewRow } from './rows.ts';
import { breakGlassReview } from './schema.ts';

const toReview = rowReader<ReviewRow>(getTableColumns(breakGlassReview));

export async function readReview(database: Database, id: string): Promise<ReviewRow | null> {
  const [stored] = await database.query<StoredRow>(
    { name: 'review_by_id', text: 'select * from break_glass_review where id = $1' },
    [id],
  );
  return stored === undefined ? null : toReview(stored);
}

/** Reviews that nobody has closed, those that fall due first in front. */
export async function openReviews(database: Database, limit: number): Promise<ReviewRow[]> {
  const rows = await database.query<StoredRow>(
    {
      name: 'open_reviews',
      text: `select * from break_glass_review where state <> 'closed' order by due_at, id limit $1`,
    },
    [limit],
  );
  return rows.map(toReview);
}

/** Those of them that are overdue, of practice or of real use. */
export async function overdueReviews(
  database: Database,
  practice: boolean,
  now: number,
  limit: number,
): Promise<ReviewRow[]> {
  const rows = await database.query<StoredRow>(
    {
      name: 'overdue_reviews',
      text: `select * from break_glass_review where state <> 'closed' and practice = $1 and due_at <= $2
             order by due_at, id limit $3`,
    },
    [practice, instant(now), limit],
  );
  return rows.map(toReview);
}

/** Those of them of which nobody has been told. */
export async function untoldReviews(database: Database, now: number, limit: number): Promise<ReviewRow[]> {
  const rows = await database.query<StoredRow>(
    {
      name: 'untold_reviews',
      text: `select * from break_glass_review where state = 'open' and due_at <= $1 order by due_at, id limit $2`,
    },
    [instant(now), limit],
  );
  return rows.map(toReview);
}
