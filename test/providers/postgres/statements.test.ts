import fc from 'fast-check';
import { expect, test } from 'vitest';
import { identifier, literal } from '../../../src/providers/postgres/sql.ts';
import {
  fillRole,
  ROLE_TOKEN,
  statementFaults,
  templateFaults,
} from '../../../src/providers/postgres/statements.ts';

const FORBIDDEN = new Set(['pg_read_server_files', 'hallpass']);
const faultsOf = (sql: string) => [...statementFaults(sql, FORBIDDEN), ...templateFaults(sql)];

test.for([
  `GRANT SELECT ON reporting.orders TO ${ROLE_TOKEN}`,
  `grant select (a, "b c") on "odd;name"."x--y" to ${ROLE_TOKEN};`,
  `GRANT SELECT ON reporting.{{ parameters.table | identifier }} TO ${ROLE_TOKEN} -- as agreed`,
  `INSERT INTO audit.uses VALUES ({{ parameters.note | literal }}, 'it''s; fine')`,
  `INSERT INTO audit.uses VALUES (E'a\\'; b', $$ c; d $$, $x$ $$ ; $x$)`,
  `/* why; /* nested; */ */ GRANT USAGE ON SCHEMA reporting TO ${ROLE_TOKEN}`,
  `ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO ${ROLE_TOKEN}`,
  `CREATE USER MAPPING FOR ${ROLE_TOKEN} SERVER far OPTIONS (user 'x')`,
  `SELECT reporting.admit('${ROLE_TOKEN}')`,
])('statementFaults: takes %s', (sql) => {
  expect(faultsOf(sql)).toEqual([]);
});

test.for([
  [`GRANT a TO ${ROLE_TOKEN}; GRANT b TO ${ROLE_TOKEN}`, 'more than one statement'],
  [`GRANT a TO ${ROLE_TOKEN}; -- b\nCOMMIT`, 'more than one statement'],
  ['SELECT a\u00a0$$; COMMIT; SELECT a\u00a0$$', 'more than one statement'],
  ['COMMIT', 'begins with COMMIT'],
  ['ROLLBACK AND CHAIN', 'begins with ROLLBACK'],
  ['DO $$ BEGIN END $$', 'begins with DO'],
  ["COPY t TO PROGRAM 'sh'", 'begins with COPY'],
  ['SET ROLE postgres', 'begins with SET'],
  [`ALTER ROLE ${ROLE_TOKEN} VALID UNTIL 'infinity'`, 'ALTER ROLE is not for a grant'],
  [`alter/**/user ${ROLE_TOKEN} superuser`, 'ALTER USER is not for a grant'],
  ["ALTER SYSTEM SET log_statement TO 'none'", 'ALTER SYSTEM is not for a grant'],
  ['CREATE ROLE other', 'CREATE ROLE is not for a grant'],
  ['CREATE DATABASE other', 'CREATE DATABASE is not for a grant'],
  [`GRANT pg_read_server_files TO ${ROLE_TOKEN}`, 'too powerful'],
  [`GRANT "pg_read_server_files" TO ${ROLE_TOKEN}`, 'too powerful'],
  [`GRANT PG_Read_Server_Files TO ${ROLE_TOKEN}`, 'too powerful'],
  [`GRANT hallpass TO ${ROLE_TOKEN}`, 'too powerful'],
  ["SELECT 'open", 'never closed'],
  ['SELECT "open', 'never closed'],
  ['SELECT 1 /* /* open */', 'never closed'],
  [' ; ', 'empty'],
  ['-- nothing', 'empty'],
  ["SELECT '{{ parameters.x | literal }}'", 'inside quotes'],
  ['SELECT "{{ parameters.x | identifier }}"', 'inside quotes'],
  ['SELECT $${{ parameters.x | literal }}$$', 'inside quotes'],
  ['SELECT 1 -- {{ parameters.x | literal }}', 'inside quotes'],
  ['SELECT /* {{ parameters.x | literal }} */ 1', 'inside quotes'],
  ['GRANT SELECT ON t_{{ parameters.x | identifier }} TO x', 'glued'],
  ['SELECT E{{ parameters.x | literal }}', 'glued'],
  ["SELECT {{ parameters.x | literal }}'tail'", 'glued'],
] as const)('statementFaults: refuses %s', ([sql, why]) => {
  expect(faultsOf(sql).join('\n')).toContain(why);
});

test('statementFaults: a value that a filter has quoted never makes a second statement', () => {
  const value = fc.string({
    unit: fc.constantFrom(
      `'`,
      `"`,
      '\\',
      '$',
      ';',
      '-',
      '*',
      '/',
      'E',
      'x',
      ' ',
      '\n',
      '$$',
      '--',
      '/*',
      '}}',
    ),
    minLength: 1,
    maxLength: 40,
  });
  fc.assert(
    fc.property(value, value, (table, note) => {
      const sql = `GRANT SELECT ON s.${identifier(table)} TO ${ROLE_TOKEN}`;
      expect(statementFaults(sql, FORBIDDEN)).toEqual([]);
      expect(statementFaults(`INSERT INTO s.t VALUES (${literal(note)}, 1)`, FORBIDDEN)).toEqual([]);
    }),
  );
});

test('fillRole: puts the name in each place, and takes away the last semicolon', () => {
  expect(fillRole(`GRANT a TO ${ROLE_TOKEN}, ${ROLE_TOKEN} ;  `, '"hp_$&_x"')).toBe(
    'GRANT a TO "hp_$&_x", "hp_$&_x"',
  );
});
