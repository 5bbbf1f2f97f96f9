import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Broker } from './broker/broker.ts';
import { createClock } from './broker/clock.ts';
import { type Fallback, withFallbacks } from './broker/fallback.ts';
import { prometheusObserver } from './broker/metrics.ts';
import { createNonces } from './broker/nonce.ts';
import { createLane, type LiveTarget } from './broker/targets.ts';
import type { Trail } from './broker/trail.ts';
import type { Config } from './config/config.ts';
import { HallpassError } from './errors.ts';
import { type Issuer, identityOf } from './issuer/issuer.ts';
import { sha256 } from './json.ts';
import { type BrokerLimits, defaultLimits } from './limits.ts';
import type { Runtime } from './runtime.ts';
import { createCommitter } from './store/commit.ts';
import type { Database } from './store/database.ts';
import { databaseClock, installationMark, installationNonceKey } from './store/installation.ts';
import { targetsWithLiveLeases } from './store/leases.ts';
import { ensureQuotas } from './store/quotas.ts';

/** A target that still holds live leases cannot be left out: nobody could end them (facts of others, 43). */
export async function refuseForgottenTargets(database: Database, config: Config): Promise<void> {
  const forgotten = (await targetsWithLiveLeases(database)).filter((name) => !config.targets.has(name));
  if (forgotten.length === 0) return;
  const names = forgotten.map((name) => `"${name}"`).join(', ');
  throw new HallpassError(
    'config-invalid',
    `Cannot start: leases are live at ${names}, which the configuration does not name; restore it until they have ended`,
  );
}

/** The broker that the configuration describes, over this database. */
export async function composeBroker(
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
