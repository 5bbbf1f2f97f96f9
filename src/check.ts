import { fileURLToPath } from 'node:url';
import { EXIT } from './cli/exit-codes.ts';
import { processIo } from './cli/io.ts';
import type { Config } from './config/config.ts';
import { readFileFromDisk } from './config/files.ts';
import { loadConfig } from './config/load.ts';
import { type ConfigFault, reportJson, reportText, warningsText } from './config/report.ts';
import { attestorKinds, providerKinds } from './kinds.ts';
import type { Result } from './result.ts';
import { systemRuntime } from './runtime.ts';

const MIGRATIONS = fileURLToPath(new URL('../migrations', import.meta.url));

/**
 * `hallpass check`: every fault of a configuration at once; with `live`, then every target of one that is sound.
 * Answers the exit code: 0 sound, 9 faulty, 10 sound with a target that does not work.
 */
export async function checkCommand(options: {
  readonly config: string;
  readonly json: boolean;
  readonly live: boolean;
}): Promise<number> {
  const config = await load(options.config);
  const faults = config.ok ? [] : config.error;
  const warnings = config.ok ? config.value.warnings : [];
  if (options.live && config.ok) {
    if (warnings.length > 0) process.stderr.write(warningsText(warnings));
    return checkTargets(config.value, options.json);
  }
  if (options.json) {
    process.stdout.write(reportJson(faults, warnings));
    return faults.length === 0 ? EXIT.done : EXIT.badConfiguration;
  }
  if (warnings.length > 0) process.stderr.write(warningsText(warnings));
  if (!config.ok) {
    process.stderr.write(reportText(faults));
    return EXIT.badConfiguration;
  }
  const { issuers, targets, grants } = config.value;
  process.stdout.write(
    `${options.config} is sound: ${issuers.size} issuers, ${targets.size} targets, ${grants.size} grants\n`,
  );
  return EXIT.done;
}

async function checkTargets(config: Config, json: boolean): Promise<number> {
  const [{ checkLive, checkMasterKey, openIssuer }, { identityOf }] = await Promise.all([
    import('./check-live.ts'),
    import('./issuer/issuer.ts'),
  ]);
  const masterKey = await checkMasterKey(config, systemRuntime);
  const before = masterKey === null ? [] : [masterKey];
  const keysWork = masterKey?.ok ?? true;
  const opened = keysWork ? await openIssuer(config, systemRuntime, MIGRATIONS) : null;
  if (opened === null && keysWork) {
    process.stderr.write(
      'The store is held or away: targets that trust the broker as an issuer cannot be tried\n',
    );
  }
  try {
    const contextOf = (target: string) => identityOf(target, opened?.issuer ?? null);
    return await checkLive(config, { runtime: systemRuntime, io: processIo(), json, contextOf, before });
  } finally {
    await opened?.close();
  }
}

/** The configuration, or null when it has faults: these are on standard error by then. */
export async function readConfig(path: string): Promise<Config | null> {
  const config = await load(path);
  if (config.ok) return config.value;
  process.stderr.write(reportText(config.error));
  return null;
}

function load(path: string): Promise<Result<Config, ConfigFault[]>> {
  return loadConfig({
    path,
    env: process.env,
    readFile: readFileFromDisk,
    attestors: attestorKinds,
    providers: providerKinds,
  });
}
