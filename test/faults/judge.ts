import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { listEvents } from '../../src/store/events.ts';
import { listLeases } from '../../src/store/leases.ts';
import type { LeaseRow } from '../../src/store/rows.ts';
import { invariantFaults, secretsIn, type WitnessedTarget } from '../support/invariants.ts';
import { FEW } from './configuration.ts';
import type { Crowd } from './crowd.ts';
import type { World } from './world.ts';

/** What was found when all was over. */
export interface Verdict {
  /** What does not hold that always should: empty when all is well. */
  readonly faults: readonly string[];
  readonly leases: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly received: number;
  /** From the last client's stop until nothing lived any more. */
  readonly settledMs: number;
}

/** After which time a lease that has not ended never will: several claims, waits between attempts, and a busy machine. */
const PATIENCE_MS = 300_000;

/** Waits until every lease has ended by itself, and then holds all that is known against all that was said. */
export async function judge(world: World, crowds: readonly Crowd[]): Promise<Verdict> {
  const began = performance.now();
  const faults = [...(await settle(world))];
  const settledMs = performance.now() - began;
  const database = world.database();
  const leases = await listLeases(database, {}, null, 1_000_000);
  const warehouse = await warehouseTruth(world);
  const logs = await Promise.all(world.replicas.map((replica) => replica.log()));
  const received = crowds.flatMap((crowd) => crowd.received);
  const secrets = received.flatMap((one) => one.secrets);
  faults.push(
    ...(await invariantFaults(database, {
      now: Date.now(),
      worlds: { warehouse: warehouse.target, service: serviceTruth(world) },
      mark: world.mark,
      logged: logs,
      secrets,
    })),
    ...lateFaults(leases, { warehouse: warehouse.madeAt, service: world.service.madeAt }),
    ...earlyFaults(leases, world.service.removedAt),
    ...lostFaults(leases, crowds),
    ...(await completionFaults(world, crowds)),
    ...(await orphanFaults(world)),
    ...secretsIn(warehouse.log, secrets).map(() => "5: a secret is in the target's log"),
    ...quotaFaults(world),
    ...logs.flatMap(bugsIn),
    ...(await auditFaults(world)),
  );
  const outcomes: Record<string, number> = {};
  for (const { outcome } of leases) outcomes[outcome ?? 'none'] = (outcomes[outcome ?? 'none'] ?? 0) + 1;
  return { faults, leases: leases.length, outcomes, received: received.length, settledMs };
}

/** Invariants 2 and 8: whatever was begun comes to its end by itself. */
async function settle(world: World): Promise<string[]> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const [left] = await world.database().query<{ live: number; waiting: number }>(
      {
        name: 'faults_left',
        text: `select (select count(*)::int from lease where state <> 'ended') as live,
                 (select count(*)::int from audit_pending) as waiting`,
      },
      [],
    );
    if (left?.live === 0 && left.waiting === 0) return [];
    if (performance.now() > deadline)
      return [
        `2: after ${PATIENCE_MS} ms ${left?.live} leases live and ${left?.waiting} events have no index`,
      ];
    await delay(100);
  }
}

function serviceTruth({ service }: World): WitnessedTarget {
  return {
    live: new Map(
      [...service.live].map(([name, { expiresAt }]) => [name, { name, expiresAt, denied: false }]),
    ),
    minted: [...service.madeAt.keys()].map((username) => ({ type: 'http', values: { username } })),
    provider: { targetExpires: false },
  };
}

/** What the warehouse's server has, and what its log says that it did: a statement is in it once it is committed. */
async function warehouseTruth({ warehouse }: World) {
  const log = await warehouse.log();
  const madeAt = new Map<string, number>();
  for (const [, at, name] of log.matchAll(
    /^(\S+) LOG: {2}duration: .* statement: CREATE ROLE "?(\w+)"? LOGIN/gm,
  ))
    madeAt.set(String(name), Number(at) * 1000);
  const admin = await warehouse.connect();
  const { rows } = await admin.query<{ name: string; until: Date | null }>(
    `select rolname as name, rolvaliduntil as until from pg_roles where rolname like 'hp\\_%'`,
  );
  await admin.end();
  const target: WitnessedTarget = {
    live: new Map(
      rows.map(({ name, until }) => [
        name,
        { name, expiresAt: until?.getTime() ?? Number.MAX_SAFE_INTEGER, denied: false },
      ]),
    ),
    minted: [...madeAt.keys()].map((username) => ({ type: 'postgres', values: { username } })),
    // A role that is left over is left over, whether or not its password has lapsed.
    provider: { targetExpires: false },
  };
  return { log, madeAt, target };
}

type MadeAt = Readonly<Record<string, ReadonlyMap<string, number>>>;

/** Invariants 1 and 3: nothing comes into being before its intent, or after its end. */
function lateFaults(leases: readonly LeaseRow[], madeAt: MadeAt): string[] {
  return leases.flatMap(({ id, name, target, createdAt, endedAt, outcome }) => {
    const made = madeAt[target]?.get(name);
    if (made === undefined) return [];
    if (made < createdAt - CLOCK_MS) return [`1: ${id} was made ${createdAt - made} ms before its intent`];
    if (endedAt !== null && made > endedAt + CLOCK_MS)
      return [`3: ${id} ended as ${outcome}, and was made ${made - endedAt} ms later`];
    return [];
  });
}

/** Nothing is called expired that had time left, by the target's clock and within what clocks may differ. */
function earlyFaults(leases: readonly LeaseRow[], removedAt: ReadonlyMap<string, number>): string[] {
  return leases.flatMap(({ id, name, endReason, expiresAt }) => {
    const removed = removedAt.get(name);
    if (removed === undefined || endReason !== 'expired') return [];
    const early = expiresAt - removed;
    return early > TOLERANCE_MS ? [`3: ${id} was ended as expired, ${early} ms before its time`] : [];
  });
}

/** The most of a limited grant's credentials that the target ever had at once. */
function quotaFaults({ service }: World): string[] {
  const most = service.mostLive.get('few') ?? 0;
  return most > FEW ? [`10: ${most} credentials of the grant "few" lived at once, its limit is ${FEW}`] : [];
}

/** How far a replica's clock may be off while it is ready. */
const TOLERANCE_MS = 5_000;

/** By how much instants of one machine may seem to be out of order, because they are taken before what they are of. */
const CLOCK_MS = 50;

/** A credential that a client got has its lease, which says that it was handed out. */
function lostFaults(leases: readonly LeaseRow[], crowds: readonly Crowd[]): string[] {
  const byId = new Map(leases.map((lease) => [lease.id, lease]));
  return crowds.flatMap((crowd) =>
    crowd.received.flatMap(({ lease: id }) => {
      const lease = byId.get(id);
      if (lease === undefined) return [`4: ${id} was handed out, and there is no such lease`];
      if (lease.issuedAt === null) return [`4: ${id} was handed out, and its lease does not know of it`];
      return lease.outcome === 'never-minted'
        ? [`3: ${id} was handed out, and is said never to have been`]
        : [];
    }),
  );
}

/** What was acknowledged stays so. */
async function completionFaults(world: World, crowds: readonly Crowd[]): Promise<string[]> {
  const open = await world
    .database()
    .query<{ id: string }>({ name: 'faults_open', text: "select id from task where state = 'open'" }, []);
  const completed = new Set(crowds.flatMap((crowd) => [...crowd.completed]));
  return open.flatMap(({ id }) =>
    completed.has(id) ? [`4: the completion of task ${id} was acknowledged, and it is open`] : [],
  );
}

/** Whatever a sweep finds was there behind the leases' back. */
async function orphanFaults(world: World): Promise<string[]> {
  const events = await listEvents(world.database(), { kind: 'orphan.found' }, null, 100);
  return events.map(({ event }) => `1: an orphan was found: ${JSON.stringify(event.data)}`);
}

function bugsIn(log: string): string[] {
  return log
    .split('\n')
    .filter((line) =>
      /"type":"(Type|Range|Reference)Error"|^(Type|Range|Reference)Error|Unhandled/.test(line),
    )
    .slice(0, 3)
    .map((line) => `0: the log says ${line.slice(0, 600)}`);
}

/** The log verifies, by our own command and against the key that signs it. */
async function auditFaults(world: World): Promise<string[]> {
  const [up] = world.replicas;
  if (up === undefined) return [];
  await up.ready();
  const keys = await (await fetch(`${up.url}/audit/log/keys`)).text();
  const args = [world.executable, 'audit', 'verify', '--url', up.url, '--forget'];
  const env = {
    PATH: process.env.PATH ?? '',
    HOME: world.folder,
    HALLPASS_TOKEN: await world.token('operator'),
  };
  const trusted = keys
    .trim()
    .split('\n')
    .flatMap((key) => ['--key', key]);
  return new Promise((resolve) => {
    execFile(process.execPath, [...args, ...trusted], { env }, (error, stdout, stderr) => {
      resolve(
        error ? [`4: the log does not verify: ${stdout}${stderr}${error.message}`.slice(0, 1_500)] : [],
      );
    });
  });
}
