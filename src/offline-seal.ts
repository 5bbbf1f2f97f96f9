import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { readConfig } from './check.ts';
import { connect } from './cli/connect.ts';
import { EXIT } from './cli/exit-codes.ts';
import { UsageError } from './cli/failure.ts';
import type { Io } from './cli/io.ts';
import type { SealOptions } from './cli/kit-lines.ts';
import { say } from './cli/output.ts';
import { configPath } from './config/environment.ts';
import { readFileFromDisk } from './config/files.ts';
import { loadConfig } from './config/load.ts';
import { reportText } from './config/report.ts';
import { readYaml } from './config/yaml.ts';
import { instant } from './instant.ts';
import type { Json } from './json.ts';
import { attestorKinds, providerKinds } from './kinds.ts';
import { type KitContents, LOG_KEY_PATH, restricted, variablesIn } from './offline/contents.ts';
import { type SealedKit, sealKit } from './offline/envelope.ts';
import { kitIssuerKind } from './offline/issuer.ts';
import { HOLDERS_MAX, LIFETIME_MAX_SECONDS, THRESHOLD_MIN } from './offline/limits.ts';
import { newId } from './runtime.ts';

/**
 * `hallpass kit seal`: makes a kit from the configuration, while all is well. The broker learns of it first, so that no
 * kit is anywhere whose log it would not believe. Answers the exit code.
 */
export async function sealCommand(io: Io, options: SealOptions): Promise<number> {
  const expiresAt = checked(io, options);
  const path = resolve(io.cwd(), options.config);
  const config = await readConfig(path);
  if (config === null) return EXIT.badConfiguration;
  const { url } = config.broker;
  const id = newId(io.runtime);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const logKey = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const contents = await gather(io, path, options.grant, id, logKey);
  const ca = options.caFile === undefined ? null : await readFile(options.caFile, 'utf8');
  const kit = await sealKit(
    io.runtime,
    {
      id,
      url,
      ca,
      grants: [...options.grant],
      expiresAt,
      threshold: options.threshold,
      holders: options.holder,
      stateDirectory: options.stateDirectory,
    },
    JSON.stringify(contents),
  );
  await connect(io, { ...options, url: options.url ?? url }).registerKit({
    id,
    log_key: Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url').toString('base64'),
    threshold: options.threshold,
    holders: [...options.holder],
    grants: [...options.grant],
    expires_at: instant(expiresAt),
  });
  await writeFile(options.out, kit.file, { mode: 0o600, flag: 'wx' }).catch(
    (error: NodeJS.ErrnoException) => {
      throw new UsageError(`Cannot write ${JSON.stringify(options.out)}: ${error.code}`);
    },
  );
  printCodes(io, kit, id, options);
  return EXIT.done;
}

/** The instant of expiry, when the options make sense together. */
function checked(io: Io, { holder, threshold, expires, stateDirectory }: SealOptions): number {
  const expiresAt = /^\d{4}-\d{2}-\d{2}$/.test(expires) ? Date.parse(expires) : Number.NaN;
  const now = io.runtime.now();
  if (Number.isNaN(expiresAt))
    throw new UsageError('Cannot read --expires: write a day, for instance 2030-01-31');
  if (expiresAt <= now || expiresAt > now + LIFETIME_MAX_SECONDS * 1000)
    throw new UsageError('Cannot seal a kit that expires then: take a day within a year from now');
  if (new Set(holder).size < holder.length)
    throw new UsageError('Cannot give two codes to one holder: name each once');
  if (threshold < THRESHOLD_MIN || holder.length < threshold || holder.length > HOLDERS_MAX)
    throw new UsageError(
      `Cannot ask ${threshold} codes of ${holder.length} holders: take at least ${THRESHOLD_MIN}, and no more than there are`,
    );
  if (!stateDirectory.startsWith('/'))
    throw new UsageError('Cannot find a folder again by a relative path: write --state-directory from / on');
  return expiresAt;
}

/** What the kit will be opened from, tried once as it will be read then. */
async function gather(
  io: Io,
  path: string,
  grants: readonly string[],
  id: string,
  logKey: string,
): Promise<KitContents> {
  const document = readYaml(await readFile(configPath(io.env, path)));
  const raw = document.ok ? document.value.value : null;
  const part = restricted((raw ?? {}) as { readonly [key: string]: Json }, grants, id);
  if (!part.ok) throw new UsageError(`Cannot seal: ${part.error}`);
  const files: Record<string, KitContents['files'][string]> = {
    [LOG_KEY_PATH]: { content: Buffer.from(logKey).toString('base64'), mode: 0o600 },
  };
  const env: Record<string, string> = {};
  for (const name of variablesIn(part.value as Json)) {
    const value = io.env[name];
    if (value !== undefined) env[name] = value;
  }
  const tried = { ...part.value, broker: { url: 'http://127.0.0.1', state_directory: dirname(path) } };
  const loaded = await loadConfig({
    path,
    env,
    readFile: async (file, maxBytes) => {
      const kept = files[file];
      if (file === path) return { bytes: Buffer.from(JSON.stringify(tried)), mode: 0o600 };
      if (kept !== undefined) return { bytes: Buffer.from(kept.content, 'base64'), mode: kept.mode };
      const read = await readFileFromDisk(file, maxBytes);
      files[file] = { content: Buffer.from(read.bytes).toString('base64'), mode: read.mode };
      return read;
    },
    attestors: { ...attestorKinds, kit: async () => kitIssuerKind(null) },
    providers: providerKinds,
  });
  if (!loaded.ok) throw new UsageError(`Cannot seal these grants:\n${reportText(loaded.error)}`);
  return { path, configuration: { ...part.value }, files, env };
}

/** The codes are shown once, and kept nowhere. */
function printCodes(io: Io, kit: SealedKit, id: string, { out, threshold, expires }: SealOptions): void {
  say(
    io,
    `Kit ${id} is in ${JSON.stringify(out)}. Any ${threshold} of these codes open it once, until ${expires}; they are shown here and never again`,
  );
  for (const { holder, code } of kit.codes) io.out(`${holder}: ${code}\n`);
}
