import { EXIT } from './cli/exit-codes.ts';
import type { Io } from './cli/io.ts';
import { clean, printJson, printTable, say } from './cli/output.ts';
import type { Config, ConfiguredTarget } from './config/config.ts';
import { HallpassError } from './errors.ts';
import { composeIssuer } from './issuer/compose.ts';
import type { Issuer } from './issuer/issuer.ts';
import type { SelfTest, TargetContext } from './providers/provider.ts';
import { type Runtime, withDeadline } from './runtime.ts';
import { type Database, openDatabase } from './store/database.ts';
import { migrate } from './store/migrate.ts';

/** What one target came to. */
interface Checked extends SelfTest {
  readonly target: string;
  readonly provider: string;
}

interface CheckLiveOptions {
  readonly runtime: Runtime;
  readonly io: Io;
  readonly json: boolean;
  /** What targets are given beside the usual, for instance a way to prove who the broker is. */
  readonly contextOf?: (target: string) => Pick<TargetContext, 'identityToken'>;
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
  const issuer = await composeIssuer(config.keys, { url, stateDirectory, database, runtime, log });
  return { issuer, close: () => database.close() };
}

/** The mark of what is made here: an installation's own is in its store, which a running broker may hold. */
const MARK = 'hp_test_';

/**
 * Mints and ends a real credential at every target of a configuration, with the scopes that its grants ask for, and
 * reports each step and what to do where one failed. Answers the exit code: 0 all work, 10 one does not.
 */
export async function checkLive(config: Config, options: CheckLiveOptions): Promise<number> {
  const waiting = [...config.targets.values()];
  const checked: Checked[] = [];
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
  const failed = checked.filter(({ ok }) => !ok).map(({ target }) => `"${target}"`);
  say(
    io,
    failed.length === 0
      ? `All ${checked.length} targets work as configured`
      : `${failed.length} of ${checked.length} targets do not work as configured: ${failed.join(', ')}`,
  );
}
