import { randomBytes } from 'node:crypto';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { loadEmpty, loadLifecycles } from './load.ts';
import { type BenchWorld, buildBenchWorld, serveProcess } from './world.ts';

/** `npm run bench`: what a lifecycle costs, beside the bare server and the bare target in the same run. */
const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '10' },
    connections: { type: 'string', default: '64' },
    provider: { type: 'string' },
  },
});
if (options.provider === 'aws') {
  const { benchAws } = await import('./aws.ts');
  const measured = await benchAws(500);
  if (options.json) process.stdout.write(`${JSON.stringify({ rows: measured }, null, 2)}\n`);
  else console.table(measured);
  process.exit(0);
}
const seconds = Number(options.seconds);
const connections = Number(options.connections);
const progress = (text: string) => void process.stderr.write(`${text}\n`);

await using world = await buildBenchWorld();
const token = await world.token();

progress('an empty route ...');
const empty = await measureEmpty();
await using broker = await world.startBroker();
progress('issue and complete, in-process target ...');
await loadLifecycles(broker.url, token, 'memory', connections, 2);
const memory = await loadLifecycles(broker.url, token, 'memory', connections, seconds);
progress('issue and complete, Postgres as target ...');
const postgres = await loadLifecycles(broker.url, token, 'postgres', connections, seconds);
progress('bare CREATE ROLE and DROP ROLE ...');
const bare = await measureBareRoles(world);

const rows = [
  { what: 'empty route', perSecond: empty.perSecond, p50: empty.p50, p99: empty.p99, beside: '' },
  {
    what: 'issue+complete, in-process target',
    perSecond: memory.perSecond,
    p50: memory.open.p50,
    p99: memory.open.p99,
    beside: `${percent(memory.perSecond / empty.perSecond)} of the empty route`,
  },
  { what: 'bare CREATE ROLE + DROP ROLE', perSecond: bare, p50: Number.NaN, p99: Number.NaN, beside: '' },
  {
    what: 'issue+complete, Postgres target',
    perSecond: postgres.perSecond,
    p50: postgres.open.p50,
    p99: postgres.open.p99,
    beside: `${percent(postgres.perSecond / bare)} of bare roles`,
  },
];
const failures = memory.failures + postgres.failures + empty.failures;
if (options.json) {
  const conditions = {
    connections,
    seconds,
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    node: process.version,
  };
  process.stdout.write(`${JSON.stringify({ conditions, rows, failures }, null, 2)}\n`);
} else {
  console.table(
    rows.map(({ what, perSecond, p50, p99, beside }) => ({
      what,
      'per second': Math.round(perSecond),
      'p50 ms (issue)': round(p50),
      'p99 ms (issue)': round(p99),
      beside,
    })),
  );
}
if (failures > 0) {
  progress(`${failures} requests failed`);
  process.exitCode = 1;
}

async function measureEmpty() {
  await using served = await serveProcess('empty.process.ts');
  await loadEmpty(served.url, connections, 2);
  return await loadEmpty(served.url, connections, seconds);
}

/** What the target can do at the most: the same statements, with a verifier made beforehand, and nothing around them. */
async function measureBareRoles({ postgres: server }: BenchWorld): Promise<number> {
  const pool = new pg.Pool({ connectionString: server.adminUrl, max: connections });
  const verifier = await verifierOf(pool);
  const startedAt = performance.now();
  const deadline = startedAt + seconds * 1000;
  let done = 0;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() < deadline) {
        const name = `bare_${randomBytes(8).toString('hex')}`;
        const until = new Date(Date.now() + 900_000).toISOString();
        await pool.query(
          `create role ${name} login password '${verifier}' valid until '${until}' connection limit 5 in role reader`,
        );
        await pool.query(`drop role ${name}`);
        done++;
      }
    }),
  );
  const elapsed = (performance.now() - startedAt) / 1000;
  await pool.end();
  return done / elapsed;
}

async function verifierOf(pool: pg.Pool): Promise<string> {
  await pool.query(`create role bare_pattern password '${randomBytes(24).toString('base64url')}'`);
  const { rows } = await pool.query<{ rolpassword: string }>(
    "select rolpassword from pg_authid where rolname = 'bare_pattern'",
  );
  await pool.query('drop role bare_pattern');
  return rows[0]?.rolpassword ?? '';
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function round(ms: number): number | string {
  return Number.isNaN(ms) ? '' : Math.round(ms * 10) / 10;
}
