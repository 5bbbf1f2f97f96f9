import { expect, test } from 'vitest';
import { example, faultsIn, load, print, SECRET } from './support.ts';

const given = 'admin_password_env: WAREHOUSE_PASSWORD';
const withPassword = (line: string) => example([given, line]);
const passwordOf = async (line: string, env: Record<string, string> = {}, files = {}) => {
  const config = await load(withPassword(line), env, files);
  if (!config.ok) throw new Error(config.error.map(print).join());
  const { admin_password: password } = config.value.targets.get('warehouse')!.settings as {
    admin_password: string;
  };
  return { password, config: config.value };
};

test('expandSettings: a secret comes from a variable, a file, or loudly from the text', async () => {
  expect((await passwordOf(given)).password).toBe(SECRET);
  const file = await passwordOf(
    'admin_password_file: secrets/w',
    {},
    { '/etc/hallpass/secrets/w': `${SECRET}\n` },
  );
  expect(file.password).toBe(SECRET);
  expect(file.config.warnings).toEqual([]);
  const absolute = await passwordOf(
    'admin_password_file: /run/w',
    {},
    { '/run/w': { text: `${SECRET}\r\n`, mode: 0o644 } },
  );
  expect(absolute.password).toBe(SECRET);
  expect(absolute.config.warnings.map(print)).toEqual([
    '24 targets.warehouse.admin_password_file: Everybody on this machine may read "/run/w" (mode 0644): chmod 0600',
  ]);
  const inline = await passwordOf(`admin_password: { insecure_inline: "${SECRET}" }`);
  expect(inline.password).toBe(SECRET);
  expect(inline.config.warnings[0]?.message).toContain('in clear');
});

test.each<[string, string, Record<string, string | Uint8Array>]>([
  [
    'admin_password: x',
    'admin_password: Cannot take a secret in clear: write admin_password_file: path, admin_password_env: NAME',
    {},
  ],
  ['admin_password: 7', 'Cannot take a secret in clear', {}],
  ['admin_password: { insecure_inline: x, more: y }', 'Cannot take a secret in clear', {}],
  ['admin_password_env: NOWHERE', 'admin_password_env: The environment variable "NOWHERE" is not set', {}],
  ['admin_password_env: ""', 'Expected the name of a variable', {}],
  ['admin_password_env: constructor', '"constructor" is not set', {}],
  ['admin_password_file: none', 'Cannot read "/etc/hallpass/none": there is no such file', {}],
  ['admin_password_file: empty', 'it is empty', { '/etc/hallpass/empty': '' }],
  [
    'admin_password_file: binary',
    'it is not UTF-8',
    { '/etc/hallpass/binary': new Uint8Array([0xff, 0xfe]) },
  ],
  [
    'admin_password_file: huge',
    'more than 1048576 bytes',
    { '/etc/hallpass/huge': 'x'.repeat(1024 * 1024 + 1) },
  ],
  ['admin_password_file: 7', 'Expected a path', {}],
  [
    'admin_password_env: WAREHOUSE_PASSWORD\n    admin_password_file: f',
    'Cannot stand beside',
    { '/etc/hallpass/f': 'x' },
  ],
  ['admin_pasword_env: WAREHOUSE_PASSWORD', 'Unknown key "admin_pasword_env"', {}],
])('expandSettings: refuses %s', async (line, message, files) => {
  expect((await faultsIn(withPassword(line), {}, files)).join('\n')).toContain(message);
});

test('expandSettings: a secret that cannot be read is reported once', async () => {
  const text = example([
    'audience: https://hallpass.acme.example\n  staff',
    'audience: x\n    client_secret_env: NOWHERE\n  staff',
  ]);
  expect(await faultsIn(text)).toEqual([
    '15 issuers.github.client_secret_env: The environment variable "NOWHERE" is not set: set it, or name another',
  ]);
});

test('expandSettings: a fault of what a file holds stands where the file is named', async () => {
  const text = example([
    'audience: https://hallpass.acme.example\n  staff',
    'audience: x\n    client_secret_env: SHORT\n  staff',
  ]);
  expect(await faultsIn(text, { SHORT: 'abc' })).toEqual([
    '15 issuers.github.client_secret_env: Expected at least 8 characters',
  ]);
});

test('expandSettings: no fault and no digest tells a secret', async () => {
  const wrong = SECRET.slice(0, 7);
  const texts = [
    withPassword(`admin_password: ${wrong}`),
    withPassword(`admin_password: [${wrong}]`),
    withPassword(`ends: ${wrong}`),
    example(['broker:', `database:\n  url: mysql://${wrong}\nbroker:`]),
    example(['broker:', 'database:\n  url_env: WRONG\nbroker:']),
  ];
  for (const text of texts) {
    const faults = (await faultsIn(text, { WRONG: `mysql://${wrong}` })).join();
    expect(faults).not.toBe('');
    expect(faults).not.toContain(wrong);
  }
  const digests = new Set<string>();
  for (const password of ['one-secret', 'another-secret']) {
    const { config } = await passwordOf(`admin_password: { insecure_inline: ${password} }`);
    digests.add(config.digest);
  }
  expect(digests.size).toBe(1);
  const byVariable = await Promise.all(
    ['one', 'two'].map((PW) => passwordOf('admin_password_env: PW', { PW })),
  );
  expect(byVariable[0]?.config.digest).toBe(byVariable[1]?.config.digest);
  expect(byVariable[0]?.password).not.toBe(byVariable[1]?.password);
});

test('loadConfig: the digest changes with what is in force', async () => {
  const digestOf = async (text: string, env = {}, files = {}) => {
    const config = await load(text, env, files);
    return config.ok ? config.value.digest : '';
  };
  const first = await digestOf(example());
  expect(await digestOf(example())).toBe(first);
  expect(await digestOf(`# a comment\n${example()}`)).toBe(first);
  expect(await digestOf(example(['max: 30m', 'max: 31m']))).not.toBe(first);
  expect(await digestOf(example(), { HALLPASS_LISTEN: '127.0.0.1:1' })).not.toBe(first);
  expect(await digestOf(example(), {}, { '/etc/hallpass/staff.jwks': '{"keys":[1]}' })).not.toBe(first);
});
