import { expect, test } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { decide } from '../../src/grants/decide.ts';
import { authority } from '../support/authority.ts';
import { example, type Files, faultsIn, load, print, SECRET } from './support.ts';

async function loaded(
  text = example(),
  env: Record<string, string> = {},
  files: Files = {},
): Promise<Config> {
  const config = await load(text, env, files);
  if (!config.ok) throw new Error(config.error.map(print).join('\n'));
  return config.value;
}

test('loadConfig: reads the example, ready to use', async () => {
  const config = await loaded();
  expect(config).toMatchObject({
    path: '/etc/hallpass/hallpass.yaml',
    broker: {
      url: 'https://hallpass.acme.example',
      name: 'acme-eu',
      listen: { host: '127.0.0.1', port: 7420 },
      tls: null,
      stateDirectory: '/etc/hallpass/state',
      limits: { mintTimeoutSeconds: 20 },
    },
    database: null,
    log: { level: 'info' },
    warnings: [],
  });
  expect([...config.issuers.keys()]).toEqual(['github', 'staff']);
  expect(config.issuers.get('staff')?.settings).toMatchObject({ jwks: '{"keys":[]}' });
  expect(config.targets.get('warehouse')).toMatchObject({
    settings: { ends: 'confirmed', extend: true, admin_password: SECRET },
    scopes: [{ role: 'report_{{ parameters.region }}' }, { role: 'repair' }],
  });
  expect(config.access.map(({ role, who }) => [role, who.issuer])).toEqual([
    ['operator', 'staff'],
    ['auditor', 'staff'],
    ['orchestrator', 'github'],
  ]);
});

test('loadConfig: its grants decide', async () => {
  const grant = (await loaded()).grants.get('nightly-report')!;
  const claims = {
    repository_id: '812345',
    job_workflow_ref: 'acme/reports/.github/workflows/nightly.yml@refs/heads/main',
    event_name: 'schedule',
  };
  const proof = { method: 'token', evidenceHash: 'h', expiresAt: 0 };
  const ask = {
    principal: { issuer: 'github', subject: 's', claims, proof },
    task: 'backfill/7',
    purpose: null,
    ticket: null,
    parameters: { region: 'eu' },
    credentials: null,
    ttlSeconds: null,
    now: Date.parse('2026-03-04T03:00:00Z'),
  };
  expect(decide(grant, null, ask)).toMatchObject({
    ok: true,
    value: {
      credentials: [
        { scope: { role: 'report_eu', statements: ["SET app.task = 'backfill/7'"] }, ttlSeconds: 900 },
      ],
    },
  });
  expect(decide(grant, null, { ...ask, now: Date.parse('2026-03-04T07:00:00Z') }).ok).toBe(false);
});

test('loadConfig: all faults at once, in the order of the file, each with its line', async () => {
  const text = example(
    ['listen: 127.0.0.1:7420', 'listen: 0.0.0.0:7420\n  lissten: x'],
    ['mint_timeout: 20s', 'mint_timeout: 20'],
    ['type: token\n    issuer: https://login', 'type: oidc\n    issuer: https://login'],
    ['audience: https://hallpass.acme.example\n  staff', 'audiense: x\n  staff'],
    ['    tasks:\n      - nightly-report', '    task:\n      - nightly-report'],
    ['ttl: { max: 30m }', 'ttl: { max: 30d }'],
    ['role: auditor', 'role: auditer'],
    ['level: info', 'level: loud\nlimits: {}'],
  );
  expect(await faultsIn(text, { HALLPASS_LISTN: 'x' })).toEqual([
    'environment HALLPASS_LISTN: Unknown variable "HALLPASS_LISTN": did you mean "HALLPASS_LISTEN"?',
    '6 broker.lissten: Unknown key "lissten": did you mean "listen"?',
    '9 broker.limits.mint_timeout: A duration needs its unit: write 20s, 20m or 20h',
    '12 issuers.github.audience: Missing: write a string',
    '15 issuers.github.audiense: Unknown key "audiense": did you mean "audience"?',
    expect.stringContaining('17 issuers.staff.type: Unknown type "oidc": known here: "token"'),
    expect.stringContaining('28 grants.nightly-report.tasks: Missing'),
    '36 grants.nightly-report.task: Unknown key "task": did you mean "tasks"?',
    '72 grants.break-glass.credentials.repair.ttl.max: Longer than memory can give: write 1d or less',
    '80 access[1].role: Expected one of "operator", "auditor", "orchestrator": did you mean "auditor"?',
    '90 log.level: Expected one of "trace", "debug", "info", "warn", "error", "silent"',
    '91 limits: Unknown key "limits": known here: "broker", "database", "keys", "issuers", "providers", "targets", "grants", "withdrawn", "access", "people", "sign_in", "audit", "notifications", "signals", "log"',
  ]);
});

test('loadConfig: break-glass is for people whom the configuration knows by name', async () => {
  const named = (people: string) =>
    example(
      ['groups: { contains: dba-oncall }', 'sub: [ada, bob]'],
      [
        '    purpose: required\n    credentials:\n      repair:',
        `    break_glass:
      review: { by: [{ issuer: staff, claims: { groups: { contains: leads } } }] }
      dangerously_without_approval: true
    credentials:
      repair:`,
      ],
      ['log:\n', `${people}log:\n`],
    );
  const person = (name: string) =>
    `  - name: ${name}\n    identities: [{ issuer: staff, claims: { sub: ${name} } }]\n`;
  expect(await faultsIn(named(`people:\n${person('ada')}${person('bob')}`))).toEqual([]);
  expect(await faultsIn(named(`people:\n${person('ada')}`))).toEqual([
    expect.stringMatching(
      /grants\.break-glass\.who: Break-glass is for people whom the configuration knows.*bob/,
    ),
  ]);
  expect(await faultsIn(named(''))).toHaveLength(2);
});

test('loadConfig: an identity of somebody names nobody who acts for it: it would be nobody, and he could approve for himself', async () => {
  const ada = (more: string) =>
    example([
      'log:\n',
      `people:\n  - name: ada\n    identities: [{ issuer: staff, claims: { sub: ada }${more} }]\nlog:\n`,
    ]);
  expect(await faultsIn(ada(''))).toEqual([]);
  expect(await faultsIn(ada(', actor: { issuer: github, claims: { repository_id: "1" } }'))).toEqual([
    expect.stringMatching(/people\[0\]\.identities\[0\]\.actor: Unknown key "actor"/),
  ]);
});

test('loadConfig: a grant is not blamed for a target that is broken itself', async () => {
  expect(await faultsIn(example(['provider: memory', 'provider: postgrs']))).toEqual([
    '23 targets.warehouse.provider: Unknown provider "postgrs": known here: "memory"',
  ]);
  expect(await faultsIn(example(['provider: memory', 'provider: memory\n    ends: maybe']))).toHaveLength(1);
});

test.each<[string, [string, string], RegExp]>([
  ['no broker', ['broker:\n', 'brokr:\n'], /broker: Missing: write a map/],
  [
    'a URL without scheme',
    ['url: https://hallpass.acme.example', 'url: hallpass'],
    /^3 broker\.url: Cannot read this as a URL/,
  ],
  [
    'http beyond loopback',
    ['url: https://hallpass.acme.example', 'url: http://hallpass.acme.example'],
    /broker\.url: Cannot be http/,
  ],
  [
    'a URL with a user',
    ['url: https://hallpass', 'url: https://me@hallpass'],
    /broker\.url: Cannot have a user/,
  ],
  [
    'an address without port',
    ['listen: 127.0.0.1:7420', 'listen: localhost'],
    /broker\.listen: Cannot read this address/,
  ],
  [
    'a port that is none',
    ['listen: 127.0.0.1:7420', 'listen: 127.0.0.1:70000'],
    /broker\.listen: Cannot read this address/,
  ],
  [
    'a world-wide listener in clear',
    ['listen: 127.0.0.1:7420', 'listen: "[::]:7420"'],
    /without TLS: give broker\.tls/,
  ],
  [
    'a certificate that is missing',
    ['listen: 127.0.0.1:7420', 'tls: { cert_file: c.pem, key_file: k.pem }'],
    /broker\.tls\.cert_file: Cannot read "\/etc\/hallpass\/c\.pem": there is no such file/,
  ],
  [
    'a key of the log that signs nothing',
    ['broker:', 'audit: { log_key_file: staff.jwks }\nbroker:'],
    /audit\.log_key_file: Cannot use this: write Ed25519 private keys as PEM/,
  ],
  ['a bad name', ['name: acme-eu', 'name: Acme EU'], /broker\.name: Write 1 to 63/],
  ['a list for a map', ['issuers:\n  github:', 'issuers:\n  - github:'], /./],
  [
    'a name of a target that is none',
    ['targets:\n  warehouse:', 'targets:\n  ware house:'],
    /targets\["ware house"\]: Cannot use this name/,
  ],
  [
    'a type that is no string',
    ['type: token\n    issuer: https://token', 'type: 7\n    issuer: https://token'],
    /issuers\.github\.type: Expected a string, found a number: put it in quotes/,
  ],
  [
    'one issuer twice',
    ['https://login.acme.example', 'https://token.actions.githubusercontent.com'],
    /issuers\.staff\.issuer: The same issuer as "github"/,
  ],
  [
    'a JWKS that is none',
    ['jwks_file: staff.jwks', 'jwks_file: ../hallpass/hallpass.yaml'],
    /issuers\.staff\.jwks_file: Cannot use the file: write a JWK Set/,
  ],
  [
    'a JWKS that is missing',
    ['jwks_file: staff.jwks', 'jwks_file: none.jwks'],
    /issuers\.staff\.jwks_file: Cannot read "\/etc\/hallpass\/none\.jwks": there is no such file/,
  ],
  [
    'a stranger in a grant',
    [
      '- issuer: github\n        claims:\n          repository_id: "812345"',
      '- issuer: gitlab\n        claims:\n          repository_id: "812345"',
    ],
    /grants\.nightly-report\.who\[0\]\.issuer: Unknown issuer "gitlab": did you mean "github"/,
  ],
  [
    'access for everybody',
    ['    issuer: github\n    claims:\n      repository_id: "812399"', '    issuer: github'],
    /access\[2\]\.claims: Too wide/,
  ],
  [
    'access for an owner',
    ['repository_id: "812399"', 'sub: { glob: "repo:acme/*" }'],
    /access\[2\]\.claims: Too wide/,
  ],
  ['an id without its quotes', ['"812345"', '12345678901234567890'], /put it in quotes/],
])('loadConfig: refuses %s', async (_, change, message) => {
  expect((await faultsIn(example(change))).join('\n')).toMatch(message);
});

test('loadConfig: TLS is read and warned of', async () => {
  const text = example([
    'listen: 127.0.0.1:7420',
    'listen: 0.0.0.0:7420\n  tls: { cert_file: c.pem, key_file: /k.pem }',
  ]);
  const { pem: cert, keyPem: key } = await authority();
  const config = await loaded(
    text,
    {},
    { '/etc/hallpass/c.pem': cert, '/k.pem': { text: key, mode: 0o644 } },
  );
  expect(config.broker.tls).toEqual({ cert, key, clientCertificates: false });
  expect(config.warnings.map(print)).toEqual([
    expect.stringMatching(/broker\.tls\.key_file: Everybody on this machine may read/),
  ]);
  const swapped = await faultsIn(text, {}, { '/etc/hallpass/c.pem': key, '/k.pem': cert });
  expect(swapped).toHaveLength(2);
});

test('loadConfig: a certificate and a key that cannot serve together are found before the start', async () => {
  const text = example(['listen: 127.0.0.1:7420', 'tls: { cert_file: c.pem, key_file: k.pem }']);
  const [{ pem: cert, keyPem: key }, other] = await Promise.all([authority(), authority()]);
  const faultsOf = (c: string, k: string) =>
    faultsIn(text, {}, { '/etc/hallpass/c.pem': c, '/etc/hallpass/k.pem': k });
  expect(await faultsOf(cert, key)).toEqual([]);
  expect(await faultsOf(cert, other.keyPem)).toEqual([
    expect.stringMatching(
      /broker\.tls\.key_file: Cannot use "k\.pem": it is not the private key, .*cert_file/,
    ),
  ]);
  expect(await faultsOf('-----BEGIN CERTIFICATE-----\nx\n', key)).toEqual([
    expect.stringMatching(/broker\.tls\.cert_file: Cannot use "c\.pem": it holds no certificate/),
  ]);
});

test('loadConfig: an orchestrator without a grant to cut from is warned of', async () => {
  const text = example(['    task_grants:\n      max_age: 6h\n      max_uses: 2\n', '']);
  expect((await loaded(text)).warnings[0]?.message).toContain('no grant allows task_grants');
});

test('loadConfig: without a file, says where to name one', async () => {
  const config = await load('', {}, {});
  expect(config.ok).toBe(false);
  const missing = await faultsIn('', {}, { '/etc/hallpass/hallpass.yaml': undefined as unknown as string });
  expect(missing).toEqual([
    '/etc/hallpass/hallpass.yaml : Cannot read the configuration: there is no such file; name another by --config or HALLPASS_CONFIG',
  ]);
});

test('loadConfig: a grant is withdrawn by its name, and is then no grant any more', async () => {
  const withdrawing = (name: string) => example(['access:', `withdrawn: [${name}]\naccess:`]);
  const config = await load(withdrawing('of-last-year'));
  expect(config.ok && [...config.value.withdrawn]).toEqual(['of-last-year']);
  const [name = ''] = config.ok ? [...config.value.grants.keys()] : [];
  expect(await faultsIn(withdrawing(name))).toEqual([
    expect.stringContaining(`withdrawn[0]: Cannot withdraw "${name}": it is in grants`),
  ]);
});
