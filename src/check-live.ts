import { EXIT } from './cli/exit-codes.ts';
import type { Io } from './cli/io.ts';
import { clean, printJson, printTable, say } from './cli/output.ts';
import type { Config, ConfiguredTarget } from './config/config.ts';
import { HallpassError } from './errors.ts';
import { composeIssuer, composeMasterKeys, type KeySettings } from './issuer/compose.ts';
import type { Issuer } from './issuer/issuer.ts';
import type { SelfTest, TargetContext } from './providers/provider.ts';
import { type Runtime, withDeadline } from './runtime.ts';
import { type Database, openDatabase } from './store/database.ts';
import { migrate } from './store/migrate.ts';

/** What one target came to. */
export interface Checked extends SelfTest {
  readonly target: string;
  readonly provider: string;
}

interface CheckLiveOptions {
  readonly runtime: Runtime;
  readonly io: Io;
  readonly json: boolean;
  /** What targets are given beside the usual, for instance a way to prove who the broker is. */
  readonly contextOf?: (target: string) => Pick<TargetContext, 'identityToken'>;
  /** What else was tried, to be told with the targets. */
  readonly before?: readonly Checked[];
}

/** How long one target may take: a mint, an end, and what belongs to them, with retries. */
const TARGET_TIMEOUT_MS = 60_000;

/** Targets that are tried at once. */
const CONCURRENCY = 4;

/**
 * The broker's own issuer as the targets will meet it, and what closes it. Null where its keys cannot be had: they are
 * in the store, and an embedded store is held by the broker that runs on it.
 */
export async function openIssuer(
  config: Config,
  runtime: Runtime,
  migrations: string,
): Promise<{ readonly issuer: Issuer | null; close(): Promise<void> } | null> {
  const { url, stateDirectory } = config.broker;
  let database: Database;
  try {
    database = await openDatabase({ url: config.database?.url ?? null, directory: stateDirectory });
    await migrate(database, migrations);
  } catch (error) {
    if (error instanceof HallpassError && error.code === 'store-unavailable') return null;
    throw error;
  }
  const log = { warn: () => {}, error: () => {} };
  try {
    const surroundings = { url, stateDirectory, database, runtime, log, waitsMs: [] };
    const issuer = await composeIssuer(config.keys, surroundings);
    return { issuer, close: () => database.close() };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** Seals and opens something by the guard of the master key: a program or a KMS. Null where a file or a variable has it. */
export async function checkMasterKey(config: Config, runtime: Runtime): Promise<Checked | null> {
  const { keys, broker } = config;
  if (keys === null || (keys.awsKms === null && keys.masterKeyCommand === null)) return null;
  const about = { target: KEYS, provider: keys.awsKms === null ? 'command' : 'aws-kms' };
  const step = { name: 'seal and open' };
  try {
    const compose = () =>
      composeMasterKeys(keys, {
        url: broker.url,
        stateDirectory: broker.stateDirectory,
        database: { kind: config.database === null ? 'pglite' : 'postgres' },
        runtime,
        log: { warn: () => {}, error: () => {} },
      });
    const envelope = await (await compose())?.seal(PROBE, runtime.randomBytes(32));
    // Another ring: the first one knows its own key, and would not ask for it.
    if (envelope !== undefined) await (await compose())?.open(PROBE, envelope);
    return { ...about, ok: true, steps: [{ ...step, ok: true }], remedies: [] };
  } catch (error) {
    if (!(error instanceof HallpassError)) throw error;
    const steps = [{ ...step, ok: false, detail: error.message }];
    return { ...about, ok: false, steps, remedies: await kmsRemedies(keys.awsKms, broker.url) };
  }
}

const PROBE = 'a check';
/** Stands among the targets, for the master key; in brackets, as no target is named. */
const KEYS = '(keys)';

async function kmsRemedies(kms: KeySettings['awsKms'], url: string): Promise<string[]> {
  if (kms === null) return [];
  const { awsKmsPolicy } = await import('./issuer/aws-kms.ts');
  return [`Let the broker have this policy:\n${awsKmsPolicy(kms, url)}`];
}

/** The mark of what is made here: an installation's own is in its store, which a running broker may hold. */
const MARK = 'hp_test_';

/**
 * Mints and ends a real credential at every target of a configuration, with the scopes that its grants ask for, and
 * reports each step and what to do where one failed. Answers the exit code: 0 all work, 10 one does not.
 */
export async function checkLive(config: Config, options: CheckLiveOptions): Promise<number> {
  const waiting = [...config.targets.values()];
  const checked: Checked[] = [...(options.before ?? [])];
  const work = async () => {
    for (let target = waiting.shift(); target; target = waiting.shift())
      checked.push(await checkTarget(target, options));
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  checked.sort((a, b) => (a.target < b.target ? -1 : 1));
  const ok = checked.every((target) => target.ok);
  if (options.json) printJson(options.io, { ok, targets: checked });
  else await printPlain(options.io, checked);
  return ok ? EXIT.done : EXIT.targetFails;
}

async function checkTarget(
  { name, kind, settings, scopes }: ConfiguredTarget,
  { runtime, contextOf }: CheckLiveOptions,
): Promise<Checked> {
  const context = { runtime, target: name, mark: MARK, ...contextOf?.(name) };
  const target = kind.open(settings, context);
  try {
    const result = await withDeadline(runtime, TARGET_TIMEOUT_MS, (signal) =>
      target.selfTest(signal, scopes),
    );
    return { target: name, provider: kind.kind, ...result };
  } catch (error) {
    // A provider reports what fails as a step; what it throws is a bug of its own, or our time-out.
    const detail = error instanceof HallpassError ? error.message : 'it failed in a way it should not';
    const steps = [{ name: 'self-test', ok: false, detail }];
    return { target: name, provider: kind.kind, ok: false, steps, remedies: [] };
  } finally {
    await target.close().catch(() => {});
  }
}

async function printPlain(io: Io, checked: readonly Checked[]): Promise<void> {
  const rows = checked.flatMap(({ target, steps }) =>
    steps.map((step) => [target, step.ok ? 'ok' : 'FAILED', step.name, step.detail ?? null]),
  );
  await printTable(io, ['target', 'result', 'step', 'detail'], rows);
  for (const { target, remedies } of checked) {
    if (remedies.length === 0) continue;
    io.out(`\nTo mend "${target}":\n`);
    for (const remedy of remedies) io.out(`  ${clean(remedy)}\n`);
  }
  const what = checked.some(({ target }) => target === KEYS) ? 'parts' : 'targets';
  const failed = checked.filter(({ ok }) => !ok).map(({ target }) => `"${target}"`);
  say(
    io,
    failed.length === 0
      ? `All ${checked.length} ${what} work as configured`
      : `${failed.length} of ${checked.length} ${what} do not work as configured: ${failed.join(', ')}`,
  );
}
