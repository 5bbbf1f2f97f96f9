import pino from 'pino';
import type { AuditEvent } from '../../src/audit/event.ts';
import type { Broker, Observer } from '../../src/broker/broker.ts';
import type { Clock } from '../../src/broker/clock.ts';
import { createVerbs } from '../../src/broker/create-verbs.ts';
import { createNonces } from '../../src/broker/nonce.ts';
import { createLane, type LiveTarget } from '../../src/broker/targets.ts';
import type { Caller, OpenTask, Role, Verbs } from '../../src/broker/verbs.ts';
import type { AccessRule } from '../../src/grants/access.ts';
import { parseGrant } from '../../src/grants/parse.ts';
import type { Attestor, Principal } from '../../src/identity/attestor.ts';
import type { Json } from '../../src/json.ts';
import { type BrokerLimits, defaultLimits } from '../../src/limits.ts';
import { createReaper, type Reaper } from '../../src/reaper/reaper.ts';
import type { Runtime } from '../../src/runtime.ts';
import { createCommitter } from '../../src/store/commit.ts';
import type { Database } from '../../src/store/database.ts';
import { listEvents } from '../../src/store/events.ts';
import { installationMark, installationNonceKey } from '../../src/store/installation.ts';
import { ensureQuotas } from '../../src/store/quotas.ts';
import type { MemorySettings, MemoryWorld } from '../fakes/provider.ts';

/** Where the clients of a test's broker believe it to be, unless the test says otherwise. */
export const TEST_URL = 'https://hallpass.example';

/** One grant for one repository, over one in-process target: what most tests of the broker need. */
export const REPORT_GRANT: Json = {
  who: [{ issuer: 'ci', claims: { repository_id: '42' } }],
  tasks: ['nightly', { glob: 'report-*' }],
  parameters: { region: { type: 'string', enum: ['eu', 'us'], default: 'eu' } },
  credentials: {
    db: {
      target: 'warehouse',
      ttl: { default: '15m', max: '1h', cap: '4h' },
      scope: { role: 'reader_{{ parameters.region }}' },
    },
  },
};

export interface TestBrokerOptions {
  readonly database: Database;
  readonly runtime: Runtime;
  /** Targets by name; each with the world behind it. */
  readonly worlds: Readonly<Record<string, MemoryWorld>>;
  readonly settings?: Partial<MemorySettings>;
  readonly grants?: Readonly<Record<string, Json>>;
  readonly limits?: Partial<BrokerLimits>;
  readonly access?: readonly AccessRule[];
  readonly people?: Broker['people'];
  readonly withdrawn?: readonly string[];
  readonly attestors?: readonly Attestor[];
  readonly url?: string;
  readonly clock?: Clock;
}

/** A whole broker without its borders. Abandon it and make another over the same database: that is a crash. */
export interface TestBroker {
  readonly broker: Broker;
  readonly verbs: Verbs;
  readonly reaper: Reaper;
  /** What the process log said. */
  readonly logged: readonly string[];
  /** All events, oldest first. */
  events(): Promise<AuditEvent[]>;
  /** Runs the reaper until nothing is due. */
  reap(): Promise<void>;
}

export async function createTestBroker(options: TestBrokerOptions): Promise<TestBroker> {
  const { database, runtime, worlds } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const logged: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void logged.push(line) });
  const mark = `hp_${await installationMark(database, runtime)}_`;
  const targets = new Map(Object.entries(worlds).map(([name, world]) => [name, liveTarget(name, world)]));

  function liveTarget(name: string, { provider }: MemoryWorld): LiveTarget {
    const settings = provider.settings.parse(options.settings ?? {});
    return {
      name,
      kind: provider,
      target: provider.open(settings, { runtime, target: name, mark }),
      minting: createLane(limits.mintConcurrency, limits.mintQueue, limits.mintTimeoutMs / 2, limits),
      ending: createLane(limits.endConcurrency, limits.endConcurrency * 4, limits.endTimeoutMs, limits),
      coverage: null,
    };
  }

  const world = {
    issuers: new Map(
      ['ci', ...(options.attestors ?? []).map(({ issuer }) => issuer)].map((name) => [name, {}]),
    ),
    targets: new Map([...targets].map(([name, { kind }]) => [name, { kind, settings: {} }])),
  };
  const grants = new Map(
    Object.entries(options.grants ?? { report: REPORT_GRANT }).map(([name, raw]) => {
      const grant = parseGrant(name, raw, world);
      if (!grant.ok) throw new Error(JSON.stringify(grant.error));
      return [name, grant.value];
    }),
  );
  await ensureQuotas(database, [...grants.keys()], runtime.now());
  let reaper: Reaper | null = null;
  const broker: Broker = {
    runtime,
    database,
    committer: createCommitter(database, runtime),
    attestors: options.attestors ?? [],
    grants,
    targets,
    access: options.access ?? [],
    people: options.people ?? [],
    withdrawn: new Set(options.withdrawn),
    mark,
    url: options.url ?? TEST_URL,
    nonces: createNonces(await installationNonceKey(database, runtime)),
    limits,
    clock: options.clock ?? GOOD_CLOCK,
    log,
    observe: silent,
    wakeReaper: () => reaper?.wake(),
  };
  reaper = createReaper(broker);
  const made = reaper;
  return {
    broker,
    verbs: createVerbs(broker),
    reaper,
    logged,
    events: async () => (await listEvents(database, {}, null, 100_000)).map((row) => row.event),
    async reap() {
      while ((await made.tick()) > 0);
    },
  };
}

/** The clocks of tests and of their databases have nothing to do with each other. */
const GOOD_CLOCK: Clock = { fault: async () => null, compare: async () => null };

const silent: Observer = {
  issued() {},
  mintFailed() {},
  ended() {},
  endFailed() {},
  refused() {},
};

/** A caller as an attestor would have made it. */
export function callerOf(claims: Readonly<Record<string, Json>>, roles: readonly Role[] = []): Caller {
  const principal: Principal = {
    issuer: 'ci',
    subject: 'repo:acme/etl',
    claims,
    proof: { method: 'test', evidenceHash: 'evidence', expiresAt: Number.MAX_SAFE_INTEGER },
  };
  return { kind: 'principal', principal, roles: new Set(roles) };
}

/** The same caller by evidence that may be used once; `mark` tells it from other such evidence. */
export function onceOnly(caller: Caller, mark: string): Caller {
  if (caller.kind !== 'principal') throw new Error('a principal');
  const { principal } = caller;
  const singleUse = { id: `once:${mark}`, until: Date.UTC(2100) };
  return { ...caller, principal: { ...principal, proof: { ...principal.proof, singleUse } } };
}

export const WORKLOAD: Caller = callerOf({ repository_id: '42' });

/** Asks for the report's credential; `over` says what else. */
export function asking(over: Partial<OpenTask> = {}): OpenTask {
  return {
    grant: 'report',
    task: 'nightly',
    purpose: null,
    parameters: {},
    credentials: null,
    ttlSeconds: null,
    taskGrant: null,
    publicKey: null,
    idempotencyKey: null,
    ...over,
  };
}

/** The value of a result that must be one. */
export function value<T>(
  result: { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown },
): T {
  if (!result.ok) throw new Error(`expected a value, got ${JSON.stringify(result.error)}`);
  return result.value;
}

/** The reason of a result that must be a refusal. */
export function reason(result: {
  readonly ok: boolean;
  readonly error?: { readonly reason: string };
}): string {
  if (result.ok || result.error === undefined) throw new Error('expected a refusal, got a value');
  return result.error.reason;
}
