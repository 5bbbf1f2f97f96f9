import { fileURLToPath } from 'node:url';
import pino, { type Logger } from 'pino';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { parseVerifierKey } from './audit/note.ts';
import type { Broker } from './broker/broker.ts';
import { logConfiguration } from './broker/configuration.ts';
import { watchLog } from './broker/metrics.ts';
import { readConfig } from './check.ts';
import { EXIT } from './cli/exit-codes.ts';
import { composeBorder } from './compose-border.ts';
import { composeBroker, refuseForgottenTargets } from './compose-broker.ts';
import type { Config } from './config/config.ts';
import { HallpassError } from './errors.ts';
import type { App } from './http/app.ts';
import { defaultServerLimits } from './http/limits.ts';
import { type RunningServer, startServer } from './http/server.ts';
import { composeIssuer } from './issuer/compose.ts';
import { openFollowers } from './outward.ts';
import { runFallbacks } from './reaper/fallbacks.ts';
import { runObservers } from './reaper/observe.ts';
import { createReaper } from './reaper/reaper.ts';
import { runSweeps } from './reaper/sweep.ts';
import { runWatch, watchLateness } from './reaper/watch.ts';
import { type Runtime, systemRuntime } from './runtime.ts';
import { preparePartitions, type Sequencer } from './sequencer/sequencer.ts';
import { startSequencer } from './sequencer/start.ts';
import { createWitnessing } from './sequencer/witness.ts';
import { type Database, openDatabase } from './store/database.ts';
import { migrate } from './store/migrate.ts';

const MIGRATIONS = fileURLToPath(new URL('../migrations', import.meta.url));

/** How long a stop waits for requests that are being served: longer than any verb waits for a target. */
export const STOP_GRACE_MS = 45_000;

/** `hallpass serve`: a whole broker in this process, until SIGTERM or SIGINT. Answers the exit code. */
export async function serveCommand(path: string, version: string): Promise<number> {
  const config = await readConfig(path);
  if (config === null) return EXIT.badConfiguration;
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
    app: await composeBorder(broker, issuer, sequencer, config, registry, version, stopping.signal),
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

async function listen(app: App, config: Config, runtime: Runtime): Promise<RunningServer> {
  const { listen: address, tls } = config.broker;
  try {
    return await startServer({
      app,
      listen: address,
      ...(tls === null ? {} : { tls }),
      limits: defaultServerLimits,
      runtime,
    });
  } catch (error) {
    const why = LISTEN_FAULTS[(error as NodeJS.ErrnoException).code ?? ''];
    if (why === undefined) throw error;
    throw new HallpassError(
      'config-invalid',
      `Cannot listen on ${address.host}:${address.port}: ${why}, or write another broker.listen`,
      { cause: error },
    );
  }
}

/** Why an address cannot be had, and what to do, by Node's code. */
const LISTEN_FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there; stop it',
  EACCES: 'this user may not take this port; give the right to it',
  EADDRNOTAVAIL: 'it is no address of this machine; give it to one',
  ENOTFOUND: 'no such host is known here; make it known',
};
