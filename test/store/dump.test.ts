import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { openDatabase } from '../../src/store/database.ts';
import { migrate } from '../../src/store/migrate.ts';
import { availablePostgres, startPostgres } from '../support/postgres.ts';
import { MIGRATIONS } from '../support/stores.ts';

const DUMP = join(MIGRATIONS, 'schema.sql');

/** What is of the day or of the tool: comments, settings of the session, and the partitions of months. */
function essence(dump: string): string {
  return dump
    .replace(/^(--.*|SET .*|SELECT pg_catalog\..*|\\(un)?restrict .*)$/gm, '')
    .replace(/\n{2,}/g, '\n\n')
    .trim()
    .concat('\n');
}

test('migrations/schema.sql: is what the migrations make (HALLPASS_WRITE_DUMP=1 writes it)', async (ctx) => {
  const postgres = (await availablePostgres())['15'];
  if (!postgres.ok) return ctx.skip(postgres.reason);
  await using server = await startPostgres({ version: '15' });
  const database = await openDatabase({ url: server.adminUrl, directory: null });
  await migrate(database, MIGRATIONS);
  await database.close();
  const args = [
    '--schema-only',
    '--no-owner',
    '--no-privileges',
    '--exclude-table=audit_event_[0-9]*',
    server.adminUrl,
  ];
  const { stdout } = await promisify(execFile)(join(postgres.bin, 'pg_dump'), args).catch(() => ({
    stdout: null,
  }));
  if (stdout === null) return ctx.skip('needs pg_dump 15 (Debian postgresql-client)');
  if (process.env.HALLPASS_WRITE_DUMP) await writeFile(DUMP, essence(stdout));
  expect(essence(stdout)).toBe(await readFile(DUMP, 'utf8'));
});
