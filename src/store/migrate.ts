import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HallpassError } from '../errors.ts';
import { sha256 } from '../json.ts';
import type { Database } from './database.ts';

const CREATE_TABLE = `
create table if not exists migration (
  number     integer primary key,
  name       text not null,
  digest     text not null,
  applied_at timestamptz not null default now()
)`;

/**
 * Brings the schema up to date with the numbered files of `directory`. Each file is one transaction that first
 * inserts its own number: of several replicas that race one wins and the others, blocked on the same number, find
 * it taken and go on. A file that was changed after it was applied, or a database that is ahead of these files,
 * is refused with `store-schema`.
 */
export async function migrate(database: Database, directory: string): Promise<void> {
  await createTable(database);
  const files = readdirSync(directory)
    .filter((file) => /^\d{4}_.*\.sql$/.test(file))
    .sort();
  for (const file of files) {
    const sql = readFileSync(join(directory, file), 'utf8');
    const digest = sha256(sql);
    const number = Number(file.slice(0, 4));
    if (await isApplied(database, number, file, digest)) continue;
    try {
      await database.script(
        `insert into migration (number, name, digest) values (${number}, '${file}', '${digest}');\n${sql}`,
      );
    } catch (error) {
      // Another replica may have applied it in between; anything else is a fault of the migration.
      if (!(await isApplied(database, number, file, digest))) throw error;
    }
  }
  await refuseNewer(database, Number(files.at(-1)?.slice(0, 4) ?? 0));
}

async function createTable(database: Database): Promise<void> {
  const there = { name: 'migration_table', text: "select to_regclass('migration') is not null as there" };
  // A role that may not make tables uses those that are there.
  const [found] = await database.query<{ there: boolean }>(there, []);
  if (found?.there) return;
  try {
    await database.script(CREATE_TABLE);
  } catch {
    // Two first starts can collide inside "create table if not exists"; the second time it is there.
    await database.script(CREATE_TABLE);
  }
}

async function isApplied(database: Database, number: number, file: string, digest: string): Promise<boolean> {
  const rows = await database.query<{ digest: string }>(
    { name: 'migration_by_number', text: 'select digest from migration where number = $1' },
    [number],
  );
  const applied = rows[0];
  if (applied && applied.digest !== digest) {
    throw new HallpassError(
      'store-schema',
      `Cannot use the store: migration "${file}" was applied with another content, restore the file it was applied from`,
    );
  }
  return applied !== undefined;
}

async function refuseNewer(database: Database, known: number): Promise<void> {
  const rows = await database.query<{ newest: number | null }>(
    { name: 'migration_newest', text: 'select max(number) as newest from migration' },
    [],
  );
  const newest = rows[0]?.newest ?? 0;
  if (newest > known) {
    throw new HallpassError(
      'store-schema',
      `Cannot use the store: its schema is at migration ${newest} and this version knows ${known}, start the newer version`,
    );
  }
}
