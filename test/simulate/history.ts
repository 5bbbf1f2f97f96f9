import type { Outcome } from '../../src/audit/event.ts';
import type { Database } from '../../src/store/database.ts';
import type { MemorySettings } from '../fakes/provider.ts';
import { invariantFaults } from '../support/invariants.ts';
import { type Clients, createClients } from './clients.ts';
import { createLand, type Land } from './land.ts';
import { createLedger, type Ledger, TOLERANCE_MS } from './ledger.ts';
import type { Mutation } from './mutations.ts';
import { createRandom, type Random } from './random.ts';
import { kill, type Replica, type Surroundings, startReplica } from './replica.ts';
import { createSchedule } from './schedule.ts';
import { WEATHERS } from './weather.ts';
import { createWire } from './wire.ts';

/** What became of one seed. */
export interface History {
  readonly seed: number;
  /** What does not hold that always should: empty when all is well. */
  readonly faults: readonly string[];
  readonly trace: readonly string[];
  /** Digest of everything that happened, in order. */
  readonly digest: string;
  readonly counts: Counts;
}

/** What happened in a history, or in many. */
export type Counts = Readonly<
  Record<'steps' | 'leases' | 'served' | 'crashes' | 'simulatedSeconds' | Outcome, number>
>;

interface Stage extends Surroundings {
  readonly database: Database;
  readonly random: Random;
  readonly ledger: Ledger;
  readonly replicas: readonly Replica[];
  readonly clients: Clients;
  steps: number;
  crashes: number;
}

/** How far a replica's clock is from the truth at the most: two of them stay within what the broker tolerates. */
const SKEW_MS = 2_000;

/** After which steps and time something that has not ended never will. */
const PATIENCE = { steps: 60_000, ms: 1_800_000 };

/** Plays the history that the seed decides, on an empty, migrated database, and checks it. */
export async function play(
  database: Database,
  seed: number,
  mutation: Mutation | null = null,
): Promise<History> {
  const stage = setUp(database, createRandom(seed), mutation);
  const { schedule, ledger, replicas, clients, lands, logs } = stage;
  for (const replica of replicas) void startReplica(replica, stage);
  const acts = 8 + stage.random.below(30);
  for (let act = 0; act < acts && ledger.faults.length === 0; act++) {
    befall(stage);
    for (let steps = stage.random.below(stage.random.pick([4, 20, 80])); steps > 0; steps--)
      await step(stage);
  }
  if (ledger.faults.length === 0) await windDown(stage);
  const [sum] = await database.query<Record<'leases' | Outcome, number> & { mark: string }>(SUM, []);
  const { mark = '', ...leases } = sum ?? {};
  const found = await invariantFaults(database, {
    // What a replica whose clock is ahead says of an instant is true a little later.
    now: schedule.now() + TOLERANCE_MS,
    worlds: Object.fromEntries([...lands].map(([name, { world }]) => [name, world])),
    mark: `hp_${mark}_`,
    logged: logs.flat(),
    secrets: clients.tokens,
  });
  const bugs = logs.flat().filter((line) => /"type":"(Type|Range|Reference)Error"/.test(line));
  for (const replica of replicas) kill(replica);
  schedule.close();
  return {
    seed,
    faults: [...ledger.faults, ...found, ...bugs.map((line) => `0: the log says ${line}`)],
    trace: schedule.trace,
    digest: schedule.digest(),
    counts: {
      steps: stage.steps,
      ...NONE,
      ...leases,
      served: clients.served(),
      crashes: stage.crashes,
      simulatedSeconds: Math.round((schedule.now() - stage.began) / 1000),
    },
  };
}

const NONE = { leases: 0, revoked: 0, denied: 0, expired: 0, 'never-minted': 0 };

const SUM = {
  name: 'simulated_sum',
  text: `select count(*)::int as leases, (select mark from installation) as mark,
           count(*) filter (where outcome = 'revoked')::int as revoked,
           count(*) filter (where outcome = 'denied')::int as denied,
           count(*) filter (where outcome = 'expired')::int as expired,
           count(*) filter (where outcome = 'never-minted')::int as "never-minted"
         from lease`,
};

function setUp(database: Database, random: Random, mutation: Mutation | null): Stage & { began: number } {
  const schedule = createSchedule(random, random.pick([0.005, 0.02, 0.06]));
  const lands = new Map<string, Land>();
  const ledger = createLedger(database, lands, schedule.now);
  const { faults } = ledger;
  const forgetsSessions = mutation?.forgetsSessions ?? false;
  for (const name of ['warehouse', 'cache'])
    lands.set(name, createLand({ name, schedule, database, faults, forgetsSessions }));
  const names = ['one', 'two', 'three'].slice(0, 1 + random.below(3));
  const replicas = names.map(
    (name): Replica => ({ name, skewMs: skew(random), owner: null, hallpass: null }),
  );
  return {
    database,
    random,
    schedule,
    lands,
    ledger,
    replicas,
    wire: createWire(schedule, database, ledger, WEATHERS.fair),
    clients: createClients(schedule, lands, replicas, ledger),
    ends: random.pick<MemorySettings['ends']>([
      'confirmed',
      'confirmed',
      'confirmed',
      'denied',
      'expiry-only',
    ]),
    mutation,
    logs: [],
    steps: 0,
    crashes: 0,
    began: schedule.now(),
  };
}

function skew(random: Random): number {
  return random.below(2 * SKEW_MS + 1) - SKEW_MS;
}

async function step(stage: Stage): Promise<boolean> {
  stage.steps++;
  return stage.schedule.step();
}

/** One thing that comes from outside: mostly a client's request, now and then a blow. */
function befall(stage: Stage): void {
  const { random, schedule, replicas, lands, wire, clients } = stage;
  const replica = random.pick(replicas);
  const dice = random.below(100);
  if (dice < 70) {
    clients.act(replica);
  } else if (dice < 78) {
    schedule.say(`${replica.name} dies`);
    stage.crashes++;
    kill(replica);
    void schedule.sleep(random.pick([0, 500, 30_000])).then(() => restart(stage, replica));
  } else if (dice < 90) {
    const [name, land] = random.pick([...lands]);
    land.weather = random.pick(Object.values(WEATHERS));
    schedule.say(`${name}: ${land.weather.name}`);
  } else if (dice < 94) {
    wire.weather = random.pick([WEATHERS.calm, WEATHERS.fair, WEATHERS.foul, WEATHERS.away]);
    schedule.say(`the store: ${wire.weather.name}`);
  } else {
    replica.skewMs = skew(random);
    schedule.say(`${replica.name}'s clock is ${replica.skewMs} ms ahead`);
  }
}

function restart(stage: Stage, replica: Replica): void {
  if (replica.owner !== null) return;
  stage.schedule.say(`${replica.name} starts`);
  void startReplica(replica, stage);
}

/** Faults end and time passes: whatever was begun must come to its end by itself (invariants 2 and 8). */
async function windDown(stage: Stage): Promise<void> {
  const { schedule, wire, lands, ledger, replicas } = stage;
  schedule.say('all is calm');
  schedule.rest();
  wire.weather = WEATHERS.calm;
  for (const land of lands.values()) land.weather = WEATHERS.calm;
  for (const replica of replicas) restart(stage, replica);
  const until = { steps: stage.steps + PATIENCE.steps, ms: schedule.now() + PATIENCE.ms };
  while (ledger.faults.length === 0) {
    for (let i = 0; i < 40; i++) await step(stage);
    if ((await unended(stage)) === 0) return;
    if (stage.steps > until.steps || schedule.now() > until.ms) {
      ledger.faults.push(`2: ${await unended(stage)} tasks and leases never end`);
    }
  }
}

async function unended({ database }: Stage): Promise<number> {
  const [row] = await database.query<{ left: number }>(
    {
      name: 'simulated_left',
      text: `select ((select count(*) from lease where state <> 'ended')
                   + (select count(*) from task where state = 'open'))::int as left`,
    },
    [],
  );
  return row?.left ?? 0;
}
