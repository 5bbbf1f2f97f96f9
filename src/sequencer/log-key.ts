import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { LOG_KEYS_ADVICE, parseLogKeys } from '../audit/log-keys.ts';
import { HallpassError } from '../errors.ts';

/** The file in the state directory where a key that was made here lies. */
export const LOG_KEY_FILE = 'audit-log.key';

/**
 * The keys that sign the log's checkpoints, the newest first: from the configured PEM, which all replicas share; else
 * from the state directory, where the first start makes one. More than one signs while keys change. The private key is
 * never in the database: whoever can write there cannot sign.
 */
export function readLogKeys(configured: string | null, stateDirectory: string): readonly KeyObject[] {
  if (configured !== null) return keysIn(configured);
  const path = join(stateDirectory, LOG_KEY_FILE);
  if (!existsSync(path)) makeKey(path);
  return keysIn(readFileSync(path, 'utf8'));
}

function keysIn(pem: string): readonly KeyObject[] {
  const keys = parseLogKeys(pem);
  if (keys === null)
    throw new HallpassError('config-invalid', `Cannot use the key of the audit log: ${LOG_KEYS_ADVICE}`);
  return keys;
}

function makeKey(path: string): void {
  const { privateKey } = generateKeyPairSync('ed25519');
  // Whole or not at all: a start that is killed here makes another at the next.
  const half = `${path}.${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(half, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'w' });
    renameSync(half, path);
  } catch (error) {
    throw new HallpassError(
      'config-invalid',
      `Cannot make a key of the audit log in "${path}": writing fails with ${(error as NodeJS.ErrnoException).code}; write audit.log_key_file, or a broker.state_directory that the broker may write`,
      { cause: error },
    );
  }
}
