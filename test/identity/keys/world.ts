import { randomUUID } from 'node:crypto';
import { createKeysAttestor } from '../../../src/identity/keys/kind.ts';
import { type KeysSettings, keysSettings, resolveKeysSettings } from '../../../src/identity/keys/settings.ts';
import { startIssuer } from '../../support/issuer.ts';
import { createTestRuntime } from '../../support/runtime.ts';

export const BROKER = 'https://hallpass.acme.example';

/** Settings as the configuration makes them. */
export function keysSettingsOf(own: Record<string, unknown>): KeysSettings {
  const written = keysSettings.parse({
    type: 'keys',
    audience: BROKER,
    subjects: ['scheduler', 'backup'],
    owner: 'data platform',
    expires: '2026-12-31',
    ...own,
  });
  const resolved = resolveKeysSettings(written, {});
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.error));
  return resolved.value;
}

/** A key set and somebody who signs with it. The issuer's server is never asked: it lends its keys alone. */
export async function openKeysWorld(own: Record<string, unknown> = {}) {
  const runtime = createTestRuntime();
  const signer = await startIssuer({ now: runtime.now });
  const iat = runtime.now() / 1000 - 10;
  const claims = (changes: Record<string, unknown> = {}) => ({
    iss: 'scheduler',
    sub: 'scheduler',
    aud: BROKER,
    iat,
    exp: iat + 120,
    jti: randomUUID(),
    ...changes,
  });
  const attestor = createKeysAttestor('legacy', keysSettingsOf({ jwks: signer.jwks(), ...own }));
  const sign = async (
    changes: Record<string, unknown> = {},
    options: Parameters<typeof signer.sign>[1] = {},
  ) => ({ kind: 'bearer', token: await signer.sign(claims(changes), options) }) as const;
  return { runtime, signer, attestor, sign, iat };
}
