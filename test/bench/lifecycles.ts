import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import { type Lifecycles, type Load, loadEmpty, loadWarm } from './load.ts';
import { type BenchWorld, buildBenchWorld, serveProcess } from './world.ts';

/** What a lifecycle costs, beside the bare server and the bare target in the same run. */
export async function measureLifecycles(
  connections: number,
  seconds: number,
  progress: (text: string) => void,
): Promise<Record<string, unknown>[]> {
  await using world = await buildBenchWorld();
  const token = await world.token();
  progress('an empty route ...');
  const before = await measureEmpty(connections, seconds);
  progress('a sketch of a lifecycle, without checks ...');
  const sketch = await measureSketch(world, token, connections, seconds);
  progress('the store alone ...');
  const store = await measureStore(world, token, connections, seconds);
  await using broker = await world.startBroker();
  progress('issue and complete, in-process target ...');
  const memory = await loadWarm(broker.url, token, 'memory', connections, seconds);
  progress('the empty route again ...');
  const empty = between(before, await measureEmpty(connections, seconds));
  progress('issue and complete, Postgres as target ...');
  const postgres = await loadWarm(broker.url, token, 'postgres', connections, seconds);
  progress('bare CREATE ROLE and DROP ROLE ...');
  const bare = await measureBareRoles(world, connections, seconds);
  return [
    row('empty route', empty, ''),
    row(
      'sketch of a lifecycle, no checks',
      issuing(sketch),
      `${percent(sketch.perSecond / empty.perSecond)} of the empty route`,
    ),
    row(
      'the store alone: its commits and its log',
      issuing(store),
      `${percent(store.perSecond / empty.perSecond)} of the empty route`,
    ),
    row(
      'issue+complete, in-process target',
      issuing(memory),
      `${percent(memory.perSecond / empty.perSecond)} of the empty route, ${percent(memory.perSecond / store.perSecond)} of the store alone`,
    ),
    { what: 'bare CREATE ROLE + DROP ROLE', 'per second': Math.round(bare) },
    row(
      'issue+complete, Postgres target',
      issuing(postgres),
      `${percent(postgres.perSecond / bare)} of bare roles`,
    ),
    {
      what: 'failed requests',
      'per second': [memory, postgres, sketch, store, empty].reduce((sum, { failures }) => sum + failures, 0),
    },
  ];
}

function row(what: string, { perSecond, p50, p99 }: Load, beside: string) {
  return {
    what,
    'per second': Math.round(perSecond),
    'issue p50 ms': Math.round(p50 * 10) / 10,
    'issue p99 ms': Math.round(p99 * 10) / 10,
    beside,
  };
}

/** How many lifecycles, and how long their opening takes. */
function issuing({ open, perSecond }: Lifecycles): Load {
  return { ...open, perSecond };
}

/** A yardstick from before and after what it is held beside: a machine is not equally fast all the time. */
function between(before: Load, after: Load): Load {
  const middle = (of: (load: Load) => number) => (of(before) + of(after)) / 2;
  return {
    perSecond: middle((load) => load.perSecond),
    p50: middle((load) => load.p50),
    p99: middle((load) => load.p99),
    failures: before.failures + after.failures,
  };
}

async function measureEmpty(connections: number, seconds: number): Promise<Load> {
  await using served = await serveProcess('empty.process.ts');
  await loadEmpty(served.url, connections, 2);
  return await loadEmpty(served.url, connections, seconds);
}

async function measureSketch(
  world: BenchWorld,
  token: string,
  connections: number,
  seconds: number,
): Promise<Lifecycles> {
  await using served = await serveProcess('sketch.process.ts', [world.postgres.adminUrl]);
  return await loadWarm(served.url, token, 'memory', connections, seconds);
}

async function measureStore(
  world: BenchWorld,
  token: string,
  connections: number,
  seconds: number,
): Promise<Lifecycles> {
  const admin = await world.postgres.connect();
  await admin.query('create database store_alone');
  await admin.end();
  const url = new URL(world.postgres.adminUrl);
  url.pathname = '/store_alone';
  await using served = await serveProcess('store.process.ts', [url.href, join(world.folder, 'store-alone')]);
  return await loadWarm(served.url, token, 'memory', connections, seconds);
}

/** What the target can do at the most: the same statements, with a verifier made beforehand, and nothing around them. */
async function measureBareRoles(
  { postgres: server }: BenchWorld,
  connections: number,
  seconds: number,
): Promise<number> {
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
