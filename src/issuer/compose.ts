import { HallpassError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import type { Database } from '../store/database.ts';
import type { AwsKmsSettings } from './aws-kms.ts';
import { createIssuer, type Issuer, rewrapSigningKeys } from './issuer.ts';
import { runKeyCommand } from './key-command.ts';
import { kmsMasterKeys } from './kms-keys.ts';
import { DEFAULT_ROTATE_EVERY_MS, KMS_WAITS_MS } from './limits.ts';
import { joinMasterKeys, type MasterKeys, readMasterKeys } from './master-keys.ts';
import { knownMasterKey, ownMasterKey } from './own-master-key.ts';
import type { SigningAlgorithm } from './rotation.ts';

/** What a broker says of its keys. */
export interface KeySettings {
  /** Null: the broker makes one, where its store is its own. */
  readonly masterKey: string | null;
  /** A program that prints the master key. */
  readonly masterKeyCommand: readonly string[] | null;
  readonly awsKms: (AwsKmsSettings & { readonly onlyOpens: boolean }) | null;
  readonly algorithm: SigningAlgorithm;
  readonly rotateEveryMs: number | null;
}

interface KeySurroundings {
  readonly url: string;
  readonly stateDirectory: string;
  readonly database: Pick<Database, 'kind'>;
  readonly runtime: Runtime;
  readonly log: {
    warn(data: object, message: string): void;
    error(data: object, message: string): void;
  };
}

export interface IssuerSurroundings extends KeySurroundings {
  readonly database: Database;
  /** Between attempts to reach a key management service; the default is a minute of them. */
  readonly waitsMs?: readonly number[];
}

/**
 * The issuer of a broker; null where nobody gave it a master key and its store is shared, so that no file of this
 * machine can hold one for all replicas. A key management service that does not answer is waited for, a minute at most.
 */
export async function composeIssuer(
  settings: KeySettings | null,
  surroundings: IssuerSurroundings,
): Promise<Issuer | null> {
  const { url, database, runtime, log } = surroundings;
  const masterKeys = await composeMasterKeys(settings, surroundings);
  if (masterKeys === null) return null;
  return whileUnavailable(surroundings, () =>
    createIssuer({
      url,
      algorithm: settings?.algorithm ?? 'ES256',
      rotateEveryMs: settings?.rotateEveryMs ?? DEFAULT_ROTATE_EVERY_MS,
      masterKeys,
      database,
      runtime,
      onError: (error) =>
        log.error({ err: error }, 'the signing keys could not be read; those known go on serving'),
    }),
  );
}

/** Seals every signing key anew under the master key that seals now. Answers how many; null where there is no issuer. */
export async function composeRewrap(
  settings: KeySettings | null,
  surroundings: IssuerSurroundings,
): Promise<number | null> {
  const masterKeys = await composeMasterKeys(settings, surroundings);
  if (masterKeys === null) return null;
  return whileUnavailable(surroundings, () => rewrapSigningKeys(surroundings.database, masterKeys));
}

/** What encrypts the signing keys. No key management service is asked yet. */
export async function composeMasterKeys(
  settings: KeySettings | null,
  surroundings: KeySurroundings,
): Promise<MasterKeys | null> {
  const { url, runtime, stateDirectory, database } = surroundings;
  const kms = settings?.awsKms ?? null;
  const given =
    settings?.masterKey ??
    (settings?.masterKeyCommand ? await runKeyCommand(settings.masterKeyCommand, runtime) : null);
  if (kms === null) {
    const text = given ?? keyOfOurOwn(surroundings);
    return text === null ? null : readRing(text);
  }
  const { awsKms } = await import('./aws-kms.ts');
  const guarded = kmsMasterKeys(awsKms(kms, url));
  // What was sealed before there was a service.
  const text = given ?? (database.kind === 'postgres' ? null : knownMasterKey(stateDirectory));
  if (text === null) return guarded;
  return kms.onlyOpens ? joinMasterKeys(readRing(text), guarded) : joinMasterKeys(guarded, readRing(text));
}

function readRing(text: string): MasterKeys {
  const keys = readMasterKeys(text);
  if (keys.ok) return keys.value;
  throw new HallpassError('config-invalid', `Cannot use the master key: it ${keys.error}`);
}

async function whileUnavailable<T>(
  { runtime, log, waitsMs = KMS_WAITS_MS }: IssuerSurroundings,
  work: () => Promise<T>,
): Promise<T> {
  for (const waitMs of waitsMs) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof HallpassError && error.code === 'kms-unavailable')) throw error;
      log.warn({ err: error, waitMs }, 'the key management service does not answer; trying again');
      await runtime.sleep(waitMs);
    }
  }
  return work();
}

function keyOfOurOwn({ database, stateDirectory, runtime, log }: KeySurroundings): string | null {
  if (database.kind === 'postgres') return null;
  const { path, text, made } = ownMasterKey(stateDirectory, runtime.randomBytes);
  const message = made
    ? 'made a master key beside the embedded store: for real use keep one elsewhere, and name it by keys.master_key_file'
    : 'the master key lies beside what it encrypts: for real use keep it elsewhere, and name it by keys.master_key_file';
  log.warn({ path }, message);
  return text;
}
