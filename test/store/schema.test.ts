import { getTableColumns, getTableName } from 'drizzle-orm';
import { afterAll, expect, test } from 'vitest';
import * as schema from '../../src/store/schema.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
afterAll(() => store.stop());

/** The migrations' names for what drizzle calls otherwise. */
const TYPES: Readonly<Record<string, string>> = { timestamptz: 'timestamp with time zone' };

for (const table of [
  schema.task,
  schema.lease,
  schema.taskGrant,
  schema.quota,
  schema.auditEvent,
  schema.kill,
  schema.approvalRequest,
  schema.fallback,
  schema.kit,
  schema.session,
]) {
  test(`schema: ${getTableName(table)} is read as the migrations made it`, async () => {
    const database = await store.open();
    const stored = await database.query<{ name: string; type: string; nullable: boolean }>(
      {
        name: 'test_columns',
        text: `select column_name as name, data_type as type, is_nullable = 'YES' as nullable
               from information_schema.columns where table_schema = 'public' and table_name = $1 order by column_name`,
      },
      [getTableName(table)],
    );
    const read = Object.values(getTableColumns(table))
      .map((column) => ({
        name: column.name,
        type: TYPES[column.getSQLType()] ?? column.getSQLType(),
        nullable: !column.notNull,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(read).toEqual(stored.sort((a, b) => (a.name < b.name ? -1 : 1)));
    await database.close();
  });
}
