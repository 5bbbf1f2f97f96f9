import { HallpassError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import type { Database } from '../store/database.ts';
import { createIssuer, type Issuer } from './issuer.ts';
import { DEFAULT_ROTATE_EVERY_MS } from './limits.ts';
import { readMasterKeys } from './master-keys.ts';
import { ownMasterKey } from './own-master-key.ts';
import type { SigningAlgorithm } from './rotation.ts';

/** What a broker says of its keys. */
export interface KeySettings {
  /** Null: the broker makes one, where its store is its own. */
  readonly masterKey: string | null;
  readonly algorithm: SigningAlgorithm;
  readonly rotateEveryMs: number | null;
}

export interface IssuerSurroundings {
  readonly url: string;
  readonly stateDirectory: string;
  readonly database: Database;
  readonly runtime: Runtime;
  readonly log: {
    warn(data: object, message: string): void;
    error(data: object, message: string): void;
  };
}

/**
 * The issuer of a broker; null where nobody gave it a master key and its store is shared, so that no file of this
 * machine can hold one for all replicas.
 */
export async function composeIssuer(
  settings: KeySettings | null,
  surroundings: IssuerSurroundings,
): Promise<Issuer | null> {
  const { url, database, runtime, log } = surroundings;
  const text = settings?.masterKey ?? keyOfOurOwn(surroundings);
  if (text === null) return null;
  const masterKeys = readMasterKeys(text);
  if (!masterKeys.ok)
    throw new HallpassError('config-invalid', `Cannot use the master key: it ${masterKeys.error}`);
  return createIssuer({
    url,
    algorithm: settings?.algorithm ?? 'ES256',
    rotateEveryMs: settings?.rotateEveryMs ?? DEFAULT_ROTATE_EVERY_MS,
    masterKeys: masterKeys.value,
    database,
    runtime,
    onError: (error) =>
      log.error({ err: error }, 'the signing keys could not be read; those known go on serving'),
  });
}

function keyOfOurOwn({ database, stateDirectory, runtime, log }: IssuerSurroundings): string | null {
  if (database.kind === 'postgres') return null;
  const { path, text, made } = ownMasterKey(stateDirectory, runtime.randomBytes);
  const message = made
    ? 'made a master key beside the embedded store: for real use keep one elsewhere, and name it by keys.master_key_file'
    : 'the master key lies beside what it encrypts: for real use keep it elsewhere, and name it by keys.master_key_file';
  log.warn({ path }, message);
  return text;
}
