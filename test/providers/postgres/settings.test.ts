import { expect, test } from 'vitest';
import { provider } from '../../../src/providers/postgres/provider.ts';
import { refuseScope } from '../../../src/providers/postgres/refusals.ts';
import { scopeSchema, settingsSchema } from '../../../src/providers/postgres/settings.ts';
import { ROLE_TOKEN } from '../../../src/providers/postgres/statements.ts';
import { newPassword } from './world.ts';

const least = { host: 'db.example', database: 'warehouse', username: 'hallpass', password: newPassword() };

test('settings: verify the server unless told otherwise in so many words', () => {
  const settings = settingsSchema.parse(least);
  expect(settings).toMatchObject({ port: 5432, tls: {}, owned_objects: 'drop', scram_iterations: 4096 });
  expect(settings.insecure_plaintext).toBeUndefined();
  expect(settingsSchema.safeParse({ ...least, insecure_plaintext: false }).success).toBe(false);
});

test.for([
  [{ ...least, hots: 'x' }, 'hots'],
  [{ ...least, host: '/var/run/postgresql' }, 'host name or an address'],
  [{ ...least, host: 'a b' }, 'host name or an address'],
  [{ ...least, port: 0 }, 'port'],
  [{ ...least, database: 'x'.repeat(64) }, '63 bytes'],
  [{ ...least, username: 'a\0' }, 'NUL'],
  [{ ...least, password: undefined }, 'give password, or tls.cert and tls.key'],
  [{ ...least, tls: { cert: '-----BEGIN CERTIFICATE-----' } }, 'cert and key'],
  [{ ...least, tls: { ca: '/etc/ca.pem' } }, 'PEM'],
  [{ ...least, tls: { server_name: 'x' }, insecure_plaintext: true }, 'contradicts tls'],
  [{ ...least, owned_objects: 'keep' }, 'owned_objects'],
  [{ ...least, connection_limit: -1 }, 'connection_limit'],
] as const)('settings: refuse %j', ([settings, why]) => {
  const { error } = settingsSchema.safeParse(settings);
  expect(JSON.stringify(error?.issues)).toContain(why);
  expect(JSON.stringify(error?.issues)).not.toContain(least.password);
});

test.for([
  [{}, 'at least one role'],
  [{ roles: [] }, 'at least one role'],
  [{ roles: ['a'.repeat(64)] }, '63 bytes'],
  [{ roles: ['a'], superuser: true }, 'superuser'],
  [{ roles: ['a'], settings: { 'x; DROP': '1' } }, 'server setting'],
  [{ roles: ['a'], connection_limit: 0 }, 'connection_limit'],
] as const)('scope: refuses %j', ([scope, why]) => {
  expect(JSON.stringify(scopeSchema.safeParse(scope).error?.issues)).toContain(why);
});

test.for([
  [{ roles: ['pg_execute_server_program'] }, 'too powerful'],
  [{ roles: ['postgres'] }, 'too powerful'],
  [{ roles: ['hallpass'] }, "broker's own role"],
  [{ statements: ['DROP TABLE x'] }, 'statements[0]: it begins with DROP'],
  [
    { statements: [`GRANT a TO ${ROLE_TOKEN}`, "SELECT '{{ parameters.x | literal }}'"] },
    'statements[1]: the template',
  ],
  [{ roles: ['a'], settings: { session_preload_libraries: 'x' } }, 'not for a grant'],
  [{ roles: ['a'], settings: { search_path: 'a, b' } }, 'write a list'],
  [{ roles: ['a'], settings: { statement_timeout: ['1s'] } }, 'write one value'],
  [{ roles: ['a'], settings: { role: 'b' } }, 'one of the roles that are granted'],
] as const)('refuseScope: refuses %j', ([scope, why]) => {
  expect(refuseScope(scope, settingsSchema.parse(least)).join('\n')).toContain(why);
});

test('refuseScope: takes narrow scopes, with templates or without, and does not fall over nonsense', () => {
  for (const scope of [
    { roles: ['reader', '{{ parameters.team }}'], settings: { search_path: ['a', 'b'], role: 'reader' } },
    { statements: [`GRANT SELECT ON s.{{ parameters.table | identifier }} TO ${ROLE_TOKEN}`] },
    null,
    'nonsense',
    { roles: 7, statements: [null], settings: [] },
  ]) {
    expect(refuseScope(scope, settingsSchema.parse(least))).toEqual([]);
  }
});

test('templating: a statement must name its filter, everything else is taken as it is', () => {
  const { defaultFilter, filters } = provider.templating;
  expect(defaultFilter(['statements', 0])).toBeNull();
  expect(defaultFilter(['roles', 0])).toBe('plain');
  expect(Object.keys(filters).sort()).toEqual(['identifier', 'literal', 'plain']);
  expect(filters.identifier?.(`a"b`)).toBe(`"a""b"`);
});
