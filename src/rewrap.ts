import { fileURLToPath } from 'node:url';
import { readConfig } from './check.ts';
import { EXIT } from './cli/exit-codes.ts';
import { composeRewrap } from './issuer/compose.ts';
import { systemRuntime } from './runtime.ts';
import { openDatabase } from './store/database.ts';
import { migrate } from './store/migrate.ts';

const MIGRATIONS = fileURLToPath(new URL('../migrations', import.meta.url));

/**
 * `hallpass rewrap`: seals the signing keys anew, for instance when the key of a KMS was rotated. Brokers may run
 * meanwhile, where the store is shared; the embedded one it takes for itself. Answers the exit code.
 */
export async function rewrapCommand(options: { readonly config: string }): Promise<number> {
  const config = await readConfig(options.config);
  if (config === null) return EXIT.badConfiguration;
  const { url, stateDirectory } = config.broker;
  const database = await openDatabase({ url: config.database?.url ?? null, directory: stateDirectory });
  try {
    await migrate(database, MIGRATIONS);
    const say = (_: object, message: string) => void process.stderr.write(`${message}\n`);
    const log = { warn: say, error: say };
    const surroundings = { url, stateDirectory, database, runtime: systemRuntime, log };
    const rewrapped = await composeRewrap(config.keys, surroundings);
    process.stdout.write(
      rewrapped === null
        ? 'This broker has no master key, and so no signing keys\n'
        : `${rewrapped} signing keys are sealed anew\n`,
    );
    return 0;
  } finally {
    await database.close();
  }
}
