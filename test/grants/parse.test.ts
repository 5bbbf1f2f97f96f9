import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseGrant } from '../../src/grants/parse.ts';
import type { Json } from '../../src/json.ts';
import { faultsOf, grantOf, rawGrant, world } from './support.ts';

const credentials = (changes: Record<string, unknown>) => ({
  credentials: {
    warehouse: { target: 'warehouse', ttl: { max: '1h' }, scope: { role: 'r' }, ...changes },
  },
});

test('parseGrant: reads a sound grant', () => {
  const grant = grantOf();
  expect(grant).toMatchObject({
    name: 'nightly',
    description: 'The nightly report',
    purpose: 'optional',
    limits: { liveLeases: 10, issuesPerHour: 100 },
    heartbeatSeconds: 60,
    taskGrants: { maxSeconds: 7200, maxUses: 3 },
  });
  expect(grant.credentials.get('warehouse')?.ttl).toEqual({
    shortestSeconds: 60,
    defaultSeconds: 600,
    maxSeconds: 3600,
    capSeconds: 14_400,
  });
  expect(grant.credentials.get('lake')?.ttl).toMatchObject({ defaultSeconds: 1800, capSeconds: 1800 });
});

test('parseGrant: the version changes with whatever decides, and with nothing else', () => {
  const { version } = grantOf();
  expect(grantOf({ description: 'Another' }).version).toBe(version);
  expect(grantOf({ description: undefined }).version).toBe(version);
  expect(grantOf({ heartbeat: '61s' }).version).not.toBe(version);
  expect(grantOf({ tasks: ['nightly-report'] }).version).not.toBe(version);
});

test.each<[Record<string, unknown>, RegExp]>([
  [{ tasx: ['a'], tasks: undefined }, /tasx: Unknown key "tasx": did you mean "tasks"\?/],
  [{ tasks: undefined }, /tasks: Missing/],
  [{ who: undefined }, /who: Missing: write a list/],
  [{ who: [] }, /who: Expected at least 1 entries/],
  [
    { who: [{ issuer: 'githb', claims: { sub: 'x' } }] },
    /who\[0\]\.issuer: Unknown issuer "githb": did you mean "github"/,
  ],
  [{ who: [{ issuer: 'cluster' }] }, /who\[0\]\.claims: Too wide/],
  [
    { who: [{ issuer: 'cluster', claim: {} }] },
    /who\[0\]\.claim: Unknown key "claim": did you mean "claims"/,
  ],
  [{ who: { issuer: 'cluster' } }, /who: Expected a list, found a map/],
  [{ tasks: [7] }, /tasks: The name of a task is a string/],
  [{ tasks: [''] }, /tasks: The name of a task has 1 to 200/],
  [{ tasks: ['a*'] }, /tasks\[0\]: A star in a plain value/],
  [{ tasks: [{ glob: '**' }], limits: undefined, conditions: undefined }, /tasks: Too wide/],
  [{ tasks: { glob: '*/**' }, limits: {}, conditions: [] }, /tasks: Too wide/],
  [
    { tasks: { glob: '**' } },
    /credentials\.lake\.scope: Cannot use \{\{ task \}\} while the grant takes any name/,
  ],
  [{ purpose: 'maybe' }, /purpose: Expected one of "required", "optional"/],
  [{ heartbeat: '5s' }, /heartbeat: Too short: write 10s or more/],
  [{ heartbeat: '2d' }, /heartbeat: Too long/],
  [{ heartbeat: '5h' }, /heartbeat: Longer than any credential lives/],
  [{ heartbeat: 60 }, /heartbeat: A duration needs its unit: write 60s, 60m or 60h/],
  [{ heartbeat: 'soon' }, /heartbeat: Cannot read this duration: write it like 45s/],
  [
    { limits: { live_leases: 0 } },
    /limits\.live_leases: Write 1 or more: to forbid everything, remove the grant/,
  ],
  [{ limits: { issues_per_hour: 1.5 } }, /limits\.issues_per_hour/],
  [{ limits: { issues_per_hour: -1 } }, /limits\.issues_per_hour: Write 1 or more/],
  [{ task_grants: { max_age: '60d', max_uses: 1 } }, /task_grants\.max_age: Too long/],
  [{ task_grants: { max_age: '1h', max_uses: 0 } }, /task_grants\.max_uses: Expected at least 1/],
  [{ task_grants: { max_age: '1h' } }, /task_grants\.max_uses: Missing/],
  [{ conditions: ['claims.a'] }, /conditions\[0\]: A condition must be true or false/],
  [{ conditions: 'true' }, /conditions: Expected a list/],
  [{ credentials: {} }, /credentials: Write at least one/],
  [
    credentials({ target: 'warehous' }),
    /credentials\.warehouse\.target: Unknown target "warehous": did you mean "warehouse"/,
  ],
  [credentials({ ttl: { max: '3h' } }), /ttl\.max: Longer than memory can give: write 2h or less/],
  [credentials({ ttl: { max: '30s' } }), /ttl\.max: Shorter than memory can give: write 1m or more/],
  [credentials({ ttl: { max: '1h', default: '2h' } }), /ttl\.default: Longer than max: write 1h or less/],
  [credentials({ ttl: { max: '1h', default: '1s' } }), /ttl\.default: Shorter than memory/],
  [credentials({ ttl: { max: '1h', cap: '30m' } }), /ttl\.cap: Below max: write 1h or more/],
  [credentials({ ttl: { max: '1h', cap: '400d' } }), /ttl\.cap: Too long/],
  [credentials({ ttl: '1h' }), /ttl: Expected a map, found a string/],
  [credentials({ ttl: { max: '0s' } }), /ttl\.max: Too short/],
  [credentials({ scope: undefined }), /credentials\.warehouse\.scope: /],
  [credentials({ scope: { role: 7 } }), /scope\.role: Expected a string, found a number: put it in quotes/],
  [credentials({ scope: { rôle: 'r' } }), /scope\["rôle"\]: Unknown key "rôle": did you mean "role"/],
  [credentials({ scope: { role: 'superuser' } }), /scope: The role "superuser" may do everything/],
  [credentials({ scope: { role: '{{ parameters.nope }}' } }), /Unknown parameter "nope"/],
])('parseGrant: refuses %j', (changes, message) => {
  expect(faultsOf(changes).join('\n')).toMatch(message);
});

const parameter = (rule: unknown, scope = 'r') => ({
  parameters: { p: rule },
  conditions: undefined,
  ...credentials({ scope: { role: scope } }),
});

test.each<[unknown, string, RegExp]>([
  [
    { type: 'string' },
    '{{ parameters.p }}',
    /parameters\.p: Cannot be used in .* while it may be any string/,
  ],
  [{ type: 'string', pattern: '**' }, '{{ parameters.p }}', /may be any string/],
  [{ type: 'string', pattern: ['a*', '*'] }, '{{ parameters.p }}', /may be any string/],
  [{ type: 'string', enum: ['a'], required: false }, '{{ parameters.p }}', /while it may be left out/],
  [
    { type: 'string', enum: ['fine', 'not fine'] },
    '{{ parameters.p }}',
    /role: cannot use parameters\.p here/,
  ],
  [{ type: 'string', enum: ['reader', 'superuser'] }, '{{ parameters.p }}', /may do everything/],
  [{ type: 'string', enum: ['a', 1] }, 'r', /enum\[1\]: Expected a string/],
  [{ type: 'string', enum: [] }, 'r', /enum: Expected at least 1/],
  [{ type: 'string', enum: ['ab'], max_length: 1 }, 'r', /enum\[0\]: Can never be given/],
  [{ type: 'string', enum: ['a'], default: 'b' }, 'r', /default: Cannot be the default/],
  [{ type: 'string', default: 'b', required: true }, 'r', /required: A required parameter has no use/],
  [{ type: 'string', pattern: 'a***' }, 'r', /pattern: Cannot use/],
  [{ type: 'string', min: 1 }, 'r', /parameters\.p\.min: Unknown key/],
  [{ type: 'integer', default: 1.5 }, 'r', /default/],
  [{ type: 'integer', default: '1' }, 'r', /default: Expected a whole number, found a string/],
  [{ type: 'integer', min: 3, max: 2 }, 'r', /max: Cannot lie below min/],
  [{ type: 'boolean', default: 'true' }, 'r', /default: Expected true or false, found a string/],
  [{ type: 'strin' }, 'r', /parameters\.p\.type: Expected one of/],
  ['string', 'r', /parameters\.p: Expected a map/],
])('parseGrant: refuses the parameter %j', (rule, scope, message) => {
  expect(faultsOf(parameter(rule, scope)).join('\n')).toMatch(message);
});

test('parseGrant: the provider sees the scope as it is written', () => {
  const statements = ["SET app.p = '{{ parameters.p | literal }}'"];
  const faults = faultsOf({
    parameters: { p: { type: 'string', enum: ['a'] } },
    conditions: undefined,
    ...credentials({ scope: { role: 'r', statements } }),
  });
  expect(faults).toEqual([
    expect.stringContaining('credentials.warehouse.scope: A template stands within quotes'),
  ]);
});

test('parseGrant: a name that no parameter can have', () => {
  expect(faultsOf({ parameters: { 'P-1': { type: 'boolean' } } }).join()).toMatch(
    /parameters\["?P-1.*Cannot use this name|parameters\.P-1: Cannot use this name/,
  );
});

test('parseGrant: a place that only some values fit is no fault at load', () => {
  expect(faultsOf(parameter({ type: 'string', max_length: 5 }, '{{ parameters.p }}'))).toEqual([]);
});

test('parseGrant: all faults at once, also beside parts that do not fit the schema', () => {
  const faults = faultsOf({
    who: [{ issuer: 'nobody', claims: { sub: 'x' } }],
    tasks: 'a*',
    conditions: ['nope'],
    heartbeat: '1s',
    credentials: {
      a: { target: 'nowhere', ttl: { max: '1h' }, scope: {} },
      b: { target: 'warehouse', ttl: { max: 5 }, scope: {} },
      c: { target: 'warehouse', ttl: { max: '3h' }, scope: { role: '{{ x }}' } },
    },
    limits: { live_leases: 0 },
    surprise: 1,
  });
  const places = faults.map((fault) => fault.split(': ')[0]);
  expect(places.sort()).toEqual([
    'conditions[0]',
    'credentials.a.target',
    'credentials.b.ttl.max',
    'credentials.c.scope.role',
    'credentials.c.ttl.max',
    'heartbeat',
    'limits.live_leases',
    'surprise',
    'tasks',
    'who[0].issuer',
  ]);
});

test('parseGrant: a broken parameter is not blamed on the templates that use it', () => {
  expect(faultsOf({ parameters: { region: { type: 'strin' } } })).toHaveLength(1);
});

test.each<Json>([null, [], 'grant', 7, { who: 7 }])('parseGrant: refuses %j', (raw) => {
  expect(parseGrant('x', raw, world).ok).toBe(false);
});

test('parseGrant: never throws, and never takes what was damaged for sound', () => {
  const paths = [
    'who',
    'tasks',
    'credentials',
    'parameters',
    'conditions',
    'limits',
    'heartbeat',
    'task_grants',
  ];
  fc.assert(
    fc.property(fc.constantFrom(...paths), fc.jsonValue({ maxDepth: 3 }), (path, value) => {
      const parsed = parseGrant('x', { ...(rawGrant() as object), [path]: value as Json }, world);
      if (parsed.ok) expect(parsed.value.who.length * parsed.value.credentials.size).toBeGreaterThan(0);
      else expect(parsed.error.length).toBeGreaterThan(0);
    }),
    { numRuns: 500 },
  );
});
