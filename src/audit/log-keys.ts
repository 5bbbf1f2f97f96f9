import { createPrivateKey, type KeyObject } from 'node:crypto';

const PEM = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/g;

/** What to write where the keys that sign the log are none. */
export const LOG_KEYS_ADVICE =
  'write Ed25519 private keys as PEM, made by "openssl genpkey -algorithm ed25519"';

/** Reads the Ed25519 private keys that sign the log, in their order; null where there is none, or one is another kind. */
export function parseLogKeys(pem: string): readonly KeyObject[] | null {
  const texts = pem.match(PEM) ?? [];
  const keys = texts.map(readKey).filter((key) => key?.asymmetricKeyType === 'ed25519') as KeyObject[];
  return keys.length > 0 && keys.length === texts.length ? keys : null;
}

function readKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem);
  } catch {
    return null;
  }
}
