import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { type Load, loadAtRate, loadLifecycles, loadWarm, timeAtRate, WARM_UP_SECONDS } from './load.ts';
import { fillLeases, markOf } from './standing.ts';
import { type BenchWorld, buildBenchWorld, type Served } from './world.ts';

/** What a broker does beside many live leases, many expiries, and another broker. Each part has a store of its own. */

const CONNECTIONS = 64;

/** `count` live leases that are due in a day or more: start, memory, latency and the due query beside them. */
export async function measureStanding(count: number, seconds: number) {
  await using world = await buildBenchWorld();
  await started(world); // migrates
  const store = await storeOf(world);
  const dueAt = `now() + interval '1 day' + n * interval '50 milliseconds'`;
  if (count > 0)
    await fillLeases(store, await markOf(store), { kind: 2, target: 'memory', leases: count, dueAt });
  const begun = performance.now();
  await using broker = await world.startBroker();
  const readyMs = performance.now() - begun;
  const startRss = await rssOf(broker);
  const token = await world.token();
  await loadLifecycles(broker.url, token, 'memory', CONNECTIONS, 2);
  const load = await loadLifecycles(broker.url, token, 'memory', CONNECTIONS, seconds);
  const due = await dueQueryMs(store);
  await store.end();
  return {
    'live leases': count,
    'ready ms': Math.round(readyMs),
    'RSS at start MB': startRss,
    'lifecycles/s': Math.round(load.perSecond),
    'issue p50 ms': round(load.open.p50),
    'issue p99 ms': round(load.open.p99),
    'due query ms': round(due),
  };
}

/** Leases that fall due at `perSecond`, beside `standing` others: how late each of them ended. */
export async function measureExpiries(standing: number, perSecond: number, seconds: number) {
  await using world = await buildBenchWorld();
  await started(world);
  const store = await storeOf(world);
  const mark = await markOf(store);
  await fillLeases(store, mark, {
    kind: 2,
    target: 'memory',
    leases: standing,
    dueAt: `now() + interval '1 day' + n * interval '50 milliseconds'`,
  });
  const leases = perSecond * seconds;
  const first = new Date(Date.now() + 8_000).toISOString();
  const dueAt = `'${first}'::timestamptz + n * interval '${1000 / perSecond} milliseconds'`;
  await fillLeases(store, mark, { kind: 3, target: 'memory', leases, dueAt });
  await using _broker = await world.startBroker();
  const wanted = `from lease where id like '3%'`;
  for (let left = leases; left > 0; ) {
    await pause(500);
    const { rows } = await store.query<{ left: number }>(
      `select count(*)::int as left ${wanted} and state <> 'ended'`,
    );
    left = rows[0]?.left ?? 0;
  }
  const { rows } = await store.query<{ p50: number; p99: number; most: number }>(`
    select percentile_cont(0.5) within group (order by lag) as p50, percentile_cont(0.99) within group (order by lag) as p99,
      max(lag) as most
    from (select extract(epoch from ended_at - expires_at)::float8 * 1000 as lag ${wanted}) x`);
  await store.end();
  const [lag] = rows;
  return {
    'live leases': standing,
    'expiries/s': perSecond,
    ended: leases,
    'lag p50 ms': round(lag?.p50 ?? Number.NaN),
    'lag p99 ms': round(lag?.p99 ?? Number.NaN),
    'lag most ms': round(lag?.most ?? Number.NaN),
  };
}

/** A kill of everything that a grant holds, while another grant's leases are issued at the same target. */
export async function measureKill(leases: number, perSecond: number) {
  await using world = await buildBenchWorld();
  await started(world);
  const store = await storeOf(world);
  const dueAt = `now() + interval '1 day' + n * interval '50 milliseconds'`;
  await fillLeases(store, await markOf(store), { kind: 2, target: 'memory', leases, dueAt });
  await using broker = await world.startBroker();
  const token = await world.token();
  const issueFor = (seconds: number) => loadAtRate(broker.url, token, 'others', perSecond, seconds);
  await issueFor(3);
  const before = await issueFor(10);
  const begun = performance.now();
  const since = () => Math.round(performance.now() - begun);
  const ordered = fetch(`${broker.url}/v1/kills`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ grant: 'memory', reason: 'measured' }),
  }).then((answer) => ({ status: answer.status, ms: since() }));
  const during = issueFor(10);
  // The kill's own row counts what is due, batch by batch.
  const markedMs = await until(store, `select 1 from kill where leases = ${leases}`, 5).then(since);
  const { status, ms } = await ordered;
  if (status !== 201) throw new Error(`The kill was answered by ${status}`);
  const isEmpty = `select 1 where not exists (select from lease where id like '2%' and state <> 'ended')`;
  const drainedMs = await until(store, isEmpty, 200).then(since);
  const { open, failures } = await during;
  await store.end();
  return {
    'leases killed': leases,
    'all due after ms': markedMs,
    'their tasks too after ms': ms,
    'all ended after ms': drainedMs,
    'ended/s': Math.round((leases / drainedMs) * 1000),
    'issues of others/s': perSecond,
    'their p50, p99 ms before': `${round(before.open.p50)}, ${round(before.open.p99)}`,
    'in the 10 s after the order': `${round(open.p50)}, ${round(open.p99)}`,
    'failures of others': before.failures + failures,
  };
}

async function until(store: pg.Client, text: string, everyMs: number): Promise<void> {
  while ((await store.query(text)).rowCount === 0) await pause(everyMs);
}

/** A backlog of logins at a Postgres target that falls due at once, beside the same steps without a broker. */
export async function measureDrain(logins: number) {
  await using world = await buildBenchWorld();
  await using broker = await world.startBroker();
  await loadLifecycles(broker.url, await world.token(), 'postgres', CONNECTIONS, WARM_UP_SECONDS);
  const store = await storeOf(world);
  const mark = await markOf(store);
  const admin = await world.postgres.connect();
  const before = await drainBare(world, admin, logins / 2);
  await makeLogins(admin, `${mark}2`, logins);
  const handle = `jsonb_build_object('oid', (select oid::text from pg_roles where rolname = '${mark}2' || lpad(n::text, 25, '0')), 'owned_objects', 'drop')`;
  const dueAt = `now() + interval '5 seconds'`;
  await fillLeases(store, mark, { kind: 2, target: 'postgres', leases: logins, dueAt, handle });
  const ours = `from lease where id like '2%'`;
  await until(store, `select 1 where not exists (select ${ours} and state <> 'ended')`, 500);
  const { rows: took } = await store.query<{ seconds: number }>(
    `select extract(epoch from max(ended_at) - min(ending_since))::float as seconds ${ours}`,
  );
  const seconds = took[0]?.seconds ?? Number.NaN;
  const { rows } = await store.query<{ outcome: string; n: number }>(
    `select outcome, count(*)::int as n ${ours} group by outcome`,
  );
  const { rows: left } = await admin.query(
    `select 1 from pg_roles where rolname like '${mark.replaceAll('_', '\\_')}%'`,
  );
  await store.end();
  // The half of it before and the half after, for a machine is not equally fast all the time.
  const bare = (before + (await drainBare(world, admin, logins / 2))) / 2;
  await admin.end();
  return {
    logins,
    outcomes: rows.map(({ outcome, n }) => `${n} ${outcome}`).join(', '),
    'left at the target': left.length,
    'ended/s': Math.round(logins / seconds),
    'bare/s': Math.round(bare),
    beside: `${Math.round((logins / seconds / bare) * 100)} %`,
  };
}

/** Bars, looks for sessions and drops, a login after the other on each of as many connections as the broker uses. */
async function drainBare(world: BenchWorld, admin: pg.Client, logins: number): Promise<number> {
  const prefix = `bare_${randomBytes(4).toString('hex')}_`;
  await makeLogins(admin, prefix, logins);
  const pool = new pg.Pool({ connectionString: world.postgres.adminUrl, max: 32 });
  let next = 1;
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      for (let n = next++; n <= logins; n = next++) {
        const role = `${prefix}${String(n).padStart(25, '0')}`;
        await pool.query(
          `begin; set local synchronous_commit to off; alter role ${role} nologin; commit; select pid from pg_stat_activity where usename = '${role}'`,
        );
        await pool.query(`drop owned by ${role}`);
        await pool.query(`drop role ${role}`);
      }
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  await pool.end();
  return logins / seconds;
}

async function makeLogins(admin: pg.Client, prefix: string, logins: number): Promise<void> {
  // Without a password: what a login costs to make is not what is measured.
  await admin.query(`do $$ begin for n in 1..${logins} loop
    execute format('create role %I login in role reader', '${prefix}' || lpad(n::text, 25, '0')); end loop; end $$`);
}

/** One process, and two over one Postgres with the same load split between them. */
export async function measureReplicas(seconds: number) {
  await using world = await buildBenchWorld();
  const token = await world.token();
  await using first = await world.startBroker();
  const one = await loadWarm(first.url, token, 'memory', CONNECTIONS, seconds);
  await using second = await world.startBroker();
  await loadLifecycles(second.url, token, 'memory', CONNECTIONS, WARM_UP_SECONDS);
  const both = await Promise.all(
    [first, second].map(({ url }) => loadLifecycles(url, token, 'memory', CONNECTIONS / 2, seconds)),
  );
  const two = both.reduce((sum, { perSecond }) => sum + perSecond, 0);
  return [
    {
      brokers: 1,
      'lifecycles/s': Math.round(one.perSecond),
      'issue p99 ms': round(one.open.p99),
      beside: '',
    },
    {
      brokers: 2,
      'lifecycles/s': Math.round(two),
      'issue p99 ms': round(Math.max(...both.map(({ open }) => open.p99))),
      beside: `${(two / one.perSecond).toFixed(2)} times one`,
    },
  ];
}

/** Times that a rate is measured: a stall of the machine then shows in one of them, and not in the median. */
const LATENCY_WINDOWS = 5;

/** What the broker adds to a quiet target when it is not in a hurry, beside two bare commits, which an issue has too. */
export async function measureLatency(perSecond: number, seconds: number) {
  await using world = await buildBenchWorld();
  const token = await world.token();
  await using broker = await world.startBroker();
  await loadLifecycles(broker.url, token, 'memory', CONNECTIONS, WARM_UP_SECONDS);
  const pool = new pg.Pool({ connectionString: world.databaseUrl });
  await pool.query('create table bare (n bigint generated always as identity, text text)');
  const commit = () =>
    pool.query({ name: 'bare', text: 'insert into bare (text) values ($1)', values: ['bare'] });
  const issues: Load[] = [];
  const completions: Load[] = [];
  const commits: Load[] = [];
  let failures = 0;
  for (let window = 0; window < LATENCY_WINDOWS; window++) {
    const load = await loadAtRate(broker.url, token, 'memory', perSecond, seconds);
    issues.push(load.open);
    completions.push(load.complete);
    failures += load.failures;
    commits.push(await timeAtRate(perSecond, seconds, () => commit().then(commit)));
  }
  await pool.end();
  return [
    latencyRow('two bare commits', commits),
    latencyRow('issue', issues),
    latencyRow('complete', completions),
    { what: 'failed requests', 'of all': failures },
  ];
}

function latencyRow(what: string, windows: readonly Load[]) {
  const p99s = windows.map(({ p99 }) => p99);
  return {
    what,
    'p50 ms': round(middle(windows.map(({ p50 }) => p50))),
    'p99 ms': round(middle(p99s)),
    'worst p99 ms': round(Math.max(...p99s)),
  };
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** Starts and stops a broker, so that the store has its tables. */
export async function started(world: BenchWorld): Promise<void> {
  await using _broker = await world.startBroker();
}

export async function storeOf(world: BenchWorld): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: world.databaseUrl });
  await client.connect();
  return client;
}

/** The reaper's query for what is due, as its server times it, with nothing due. */
async function dueQueryMs(store: pg.Client): Promise<number> {
  const times: number[] = [];
  for (let time = 0; time < 9; time++) {
    const begun = performance.now();
    await store.query(
      `select id from lease where target = 'memory' and state <> 'ended' and due_at <= now() order by due_at limit 256 for update skip locked`,
    );
    times.push(performance.now() - begun);
  }
  return middle(times);
}

export async function rssOf(served: Served): Promise<number> {
  const status = await readFile(`/proc/${served.child.pid}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
