import { fileURLToPath } from 'node:url';
import pino, { type Logger } from 'pino';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { parseVerifierKey } from './audit/note.ts';
import type { Broker } from './broker/broker.ts';
import { createClock } from './broker/clock.ts';
import { logConfiguration } from './broker/configuration.ts';
import { createVerbs } from './broker/create-verbs.ts';
import { type Fallback, withFallbacks } from './broker/fallback.ts';
import { createKitVerbs } from './broker/kits.ts';
import { createLogVerbs } from './broker/log.ts';
import { prometheusObserver, watchLog } from './broker/metrics.ts';
import { createNonces } from './broker/nonce.ts';
import { createLane, type LiveTarget } from './broker/targets.ts';
import type { Trail } from './broker/trail.ts';
import { readConfig } from './check.ts';
import type { Config } from './config/config.ts';
import { HallpassError } from './errors.ts';
import { type App, createApp } from './http/app.ts';
import { defaultHttpLimits, defaultServerLimits, type HttpLimits, type Rate } from './http/limits.ts';
import { prometheusMetrics } from './http/metrics.ts';
import { type RunningServer, startServer } from './http/server.ts';
import { composeIssuer } from './issuer/compose.ts';
import { type Issuer, identityOf } from './issuer/issuer.ts';
import { sha256 } from './json.ts';
import { type BrokerLimits, defaultLimits } from './limits.ts';
import { desksOf, openFollowers } from './outward.ts';
import { runFallbacks } from './reaper/fallbacks.ts';
import { runObservers } from './reaper/observe.ts';
import { createReaper } from './reaper/reaper.ts';
import { runSweeps } from './reaper/sweep.ts';
import { runWatch, watchLateness } from './reaper/watch.ts';
import { type Runtime, systemRuntime } from './runtime.ts';
import { preparePartitions, type Sequencer } from './sequencer/sequencer.ts';
import { startSequencer } from './sequencer/start.ts';
import { createWitnessing } from './sequencer/witness.ts';
import { createCommitter } from './store/commit.ts';
import { type Database, openDatabase } from './store/database.ts';
import { databaseClock, installationMark, installationNonceKey, isReadOnly } from './store/installation.ts';
import { targetsWithLiveLeases } from './store/leases.ts';
import { migrate } from './store/migrate.ts';
import { ensureQuotas } from './store/quotas.ts';

const MIGRATIONS = fileURLToPath(new URL('../migrations', import.meta.url));

/** How long a stop waits for requests that are being served: longer than any verb waits for a target. */
const STOP_GRACE_MS = 45_000;

/** `hallpass serve`: a whole broker in this process, until SIGTERM or SIGINT. Answers the exit code. */
export async function serveCommand(path: string, version: string): Promise<number> {
  const config = await readConfig(path);
  if (config === null) return 2;
  const log = pino({ level: config.log.level, base: { name: config.broker.name } });
  const running = await startBroker(config, systemRuntime, log, version);
  const signal = await new Promise<NodeJS.Signals>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, resolve);
  });
  log.info({ signal }, 'stopping');
  await running.stop();
  return 0;
}

/** A broker that serves. */
export interface RunningBroker {
  readonly url: string;
  /** Takes no new requests, finishes those it has and the endings that it began, and lets go of everything. */
  stop(): Promise<void>;
}

/** A broker that runs and has no border to the network yet. */
export interface BrokerWithin {
  readonly broker: Broker;
  readonly app: App;
  /** Finishes the endings that it began, and lets go of everything. */
  stop(): Promise<void>;
}

/** Builds what is concrete, recovers what an earlier process left, and then serves. */
export async function startBroker(
  config: Config,
  runtime: Runtime,
  log: Logger,
  version: string,
): Promise<RunningBroker> {
  const within = await runBroker(config, runtime, log, version);
  try {
    const server = await listen(within.app, config, runtime);
    const { url } = server.address;
    log.info({ url, store: within.broker.database.kind, grants: config.grants.size }, 'serving');
    return {
      url,
      async stop() {
        const cut = await server.stop(STOP_GRACE_MS);
        if (cut > 0) log.warn({ requests: cut }, 'requests were cut; their leases end by themselves');
        await within.stop();
      },
    };
  } catch (error) {
    await within.stop();
    throw error;
  }
}

/** The same, without serving: whoever runs it in his own process asks its app. */
export async function runBroker(
  config: Config,
  runtime: Runtime,
  log: Logger,
  version: string,
): Promise<BrokerWithin> {
  const database = await openDatabase({
    url: config.database?.url ?? null,
    directory: config.broker.stateDirectory,
  });
  try {
    await migrate(database, MIGRATIONS);
    return await runOver(database, config, runtime, log, version);
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function runOver(
  database: Database,
  config: Config,
  runtime: Runtime,
  log: Logger,
  version: string,
): Promise<BrokerWithin> {
  await refuseForgottenTargets(database, config);
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  // Before the first event, so that it lies in its month.
  await preparePartitions(database, runtime.now(), log);
  let wakeReaper = () => {};
  const { url, stateDirectory } = config.broker;
  const issuer = await composeIssuer(config.keys, { url, stateDirectory, database, runtime, log });
  const { broker, fallbacks } = await composeBroker(database, config, runtime, log, registry, issuer, () =>
    wakeReaper(),
  );
  const reaper = createReaper(broker);
  wakeReaper = reaper.wake;
  await broker.committer.commit({
    events: [
      {
        kind: 'broker.started',
        actor: { kind: 'system' },
        about: {},
        data: { configuration: config.digest, version },
      },
    ],
  });
  await logConfiguration(broker, config);
  // What fell due while nobody ran is ended before anything new is issued.
  await reaper.catchUp();

  const sequencer = await startSequencer(broker, {
    url: config.broker.url,
    logKey: config.audit.logKey,
    stateDirectory: config.broker.stateDirectory,
  });
  const stopping = new AbortController();
  // Before anything happens that they are to be told of: those that are new begin here.
  const followers = await openFollowers(broker, config, issuer, registry);
  watchLateness(broker, registry);
  if (sequencer !== null) watchLog(sequencer, registry);
  const loops = [
    reaper.run(stopping.signal),
    runSweeps(broker, stopping.signal),
    runWatch(broker, stopping.signal),
    runObservers(broker, stopping.signal),
    runFallbacks(broker, fallbacks, stopping.signal),
    sequencer?.run(stopping.signal),
    ...followers.map((follower) => follower.run(stopping.signal)),
    runWitnessing(broker, config, sequencer, stopping.signal),
    issuer?.run(stopping.signal),
  ];
  return {
    broker,
    app: await border(broker, issuer, sequencer, config, registry, version, stopping.signal),
    async stop() {
      stopping.abort();
      await Promise.all(loops);
      await sequencer?.drain();
      await Promise.all([...broker.targets.values()].map(({ target }) => target.close()));
      await database.close();
    },
  };
}

/** Has the log cosigned by those whom the configuration names. */
async function runWitnessing(
  broker: Broker,
  { audit }: Config,
  sequencer: Sequencer | null,
  signal: AbortSignal,
): Promise<void> {
  const witnesses = audit.witnesses.flatMap(({ url, key: text }) => {
    const key = parseVerifierKey(text);
    return key?.kind === 'cosignature' ? [{ url, key }] : [];
  });
  if (witnesses.length < audit.witnesses.length)
    throw new HallpassError(
      'config-invalid',
      'Cannot read the key of a witness in audit.witnesses: write its verifier key of type 4, name+id+base64',
    );
  if (witnesses.length > 0) {
    const wentBack = async (what: string) => sequencer?.suspect(what);
    await createWitnessing({ ...broker, wentBack }, witnesses).run(signal);
  }
}

/** A target that still holds live leases cannot be left out: nobody could end them (facts of others, 43). */
async function refuseForgottenTargets(database: Database, config: Config): Promise<void> {
  const forgotten = (await targetsWithLiveLeases(database)).filter((name) => !config.targets.has(name));
  if (forgotten.length === 0) return;
  const names = forgotten.map((name) => `"${name}"`).join(', ');
  throw new HallpassError(
    'config-invalid',
    `Cannot start: leases are live at ${names}, which the configuration does not name; restore it until they have ended`,
  );
}

async function composeBroker(
  database: Database,
  config: Config,
  runtime: Runtime,
  log: Logger,
  registry: Registry,
  issuer: Issuer | null,
  wakeReaper: () => void,
): Promise<{ readonly broker: Broker; readonly fallbacks: readonly Fallback[] }> {
  const limits = brokerLimits(config);
  const mark = `hp_${await installationMark(database, runtime)}_`;
  await ensureQuotas(database, limitedGrants(config), runtime.now());
  const clock = createClock({
    now: runtime.now,
    steady: () => performance.now(),
    // The embedded store has the clock of this process.
    storeClock: async () => (database.kind === 'pglite' ? runtime.now() : databaseClock(database)),
    toleranceMs: limits.clockToleranceMs,
  });
  const targets = new Map<string, LiveTarget>();
  for (const [name, { kind, settings }] of config.targets) {
    targets.set(name, {
      name,
      kind,
      target: kind.open(settings, { runtime, target: name, mark, ...identityOf(name, issuer) }),
      minting: createLane(limits.mintConcurrency, limits.mintQueue, limits.mintTimeoutMs / 2, limits),
      ending: createLane(limits.endConcurrency, limits.endConcurrency * 4, limits.endTimeoutMs, limits),
      coverage: null,
    });
  }
  const { attestors, fallbacks } = withFallbacks(
    [...config.issuers].map(([name, { kind, settings, fallback }]) => ({
      attestor: kind.create(name, settings, runtime),
      fallback,
    })),
    { database, runtime },
  );
  const broker: Broker = {
    runtime,
    database,
    committer: createCommitter(database, runtime, clock.fault),
    attestors,
    grants: config.grants,
    withdrawn: config.withdrawn,
    targets,
    access: config.access,
    people: config.people,
    sensitiveClaims: new Set(config.audit.sensitiveClaims),
    trails: trailsOf(config),
    mark,
    url: config.broker.url,
    nonces: createNonces(await installationNonceKey(database, runtime)),
    limits,
    clock,
    log,
    observe: prometheusObserver(registry),
    wakeReaper,
  };
  return { broker, fallbacks };
}

function trailsOf({ audit }: Config): ReadonlyMap<string, Trail> {
  return new Map(
    audit.trails.map(({ name, type, targets, from }) => {
      const bears = 'secret' in from ? { secretHash: sha256(from.secret) } : from;
      return [name, { name, type, targets: new Set(targets), from: bears }];
    }),
  );
}

function limitedGrants({ grants }: Config): string[] {
  return [...grants.values()]
    .filter(({ limits }) => limits.liveLeases !== null || limits.issuesPerHour !== null)
    .map(({ name }) => name);
}

/** The margin between the end of a mint's time and the end of its window: for clocks that differ. */
const WINDOW_MARGIN_MS = defaultLimits.mintWindowMs - defaultLimits.mintTimeoutMs;

/** A claim holds for this many attempts to end, and never so short that the store's own delays outlast it. */
const CLAIM_PER_ATTEMPT = defaultLimits.claimMs / defaultLimits.endTimeoutMs;
const SHORTEST_CLAIM_MS = 10_000;

function brokerLimits({ broker: { limits } }: Config): BrokerLimits {
  const mintTimeoutMs = (limits.mintTimeoutSeconds ?? defaultLimits.mintTimeoutMs / 1000) * 1000;
  const endTimeoutMs = (limits.endTimeoutSeconds ?? defaultLimits.endTimeoutMs / 1000) * 1000;
  return {
    ...defaultLimits,
    mintTimeoutMs,
    mintWindowMs: mintTimeoutMs + WINDOW_MARGIN_MS,
    endTimeoutMs,
    claimMs: Math.max(SHORTEST_CLAIM_MS, endTimeoutMs * CLAIM_PER_ATTEMPT),
    mintConcurrency: limits.mintingPerTarget ?? defaultLimits.mintConcurrency,
    endConcurrency: limits.endingPerTarget ?? defaultLimits.endConcurrency,
    observeEveryMs: (limits.observeEverySeconds ?? defaultLimits.observeEveryMs / 1000) * 1000,
  };
}

function httpLimits({ broker: { limits } }: Config): HttpLimits {
  const perSecond = limits.requestsPerSecond;
  return {
    ...defaultHttpLimits,
    maxBodyBytes: limits.bodyBytes ?? defaultHttpLimits.maxBodyBytes,
    ...(perSecond === undefined ? {} : { perCaller: rate(perSecond), perAddress: rate(perSecond * 5) }),
  };
}

function rate(perSecond: number): Rate {
  return { perSecond, burst: perSecond * 5 };
}

async function border(
  broker: Broker,
  issuer: Issuer | null,
  sequencer: Sequencer | null,
  config: Config,
  registry: Registry,
  version: string,
  stopping: AbortSignal,
): Promise<App> {
  const { runtime, log } = broker;
  const verbs = createVerbs(broker);
  return createApp({
    verbs,
    runtime,
    limits: httpLimits(config),
    url: config.broker.url,
    log,
    metrics: prometheusMetrics(registry),
    ready: () => readiness(broker, sequencer, stopping),
    clockFault: broker.clock.fault,
    statementMs: () => broker.database.statementMs,
    version,
    transparency: createLogVerbs(broker, config.audit.isPublic),
    kits: createKitVerbs(broker),
    ...(issuer === null ? {} : { issuer }),
    ...desksOf(broker, verbs, config),
    ...(await signInFor(config, broker)),
  });
}

function listen(app: App, config: Config, runtime: Runtime): Promise<RunningServer> {
  return startServer({
    app,
    listen: config.broker.listen,
    ...(config.broker.tls === null ? {} : { tls: config.broker.tls }),
    limits: defaultServerLimits,
    runtime,
  });
}

/** What people sign in with, as the configuration has it. */
async function signInFor({ signIn }: Config, broker: Broker) {
  return signIn === null ? {} : (await import('./compose-sign-in.ts')).composeSignIn(signIn, broker);
}

/** Ready to issue: the store answers and takes writes, its clock agrees with ours, and its log is the one that we know. */
async function readiness(broker: Broker, sequencer: Sequencer | null, stopping: AbortSignal) {
  if (stopping.aborted) return { ready: false, reasons: ['stopping'] };
  if (sequencer?.fault)
    return { ready: false, reasons: [`the audit log is not what it was: ${sequencer.fault}`] };
  try {
    const reasons = [];
    const fault = await broker.clock.compare();
    if (fault !== null) reasons.push(fault);
    if (await isReadOnly(broker.database)) reasons.push('the store takes no writes');
    return { ready: reasons.length === 0, reasons };
  } catch {
    return { ready: false, reasons: ['the store does not answer'] };
  }
}
