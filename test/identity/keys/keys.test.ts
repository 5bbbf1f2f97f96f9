import { exportJWK, generateKeyPair } from 'jose';
import { expect, onTestFinished, test } from 'vitest';
import { attestorKind } from '../../../src/identity/keys/kind.ts';
import { accepted } from '../../conformance/attestor.ts';
import { BROKER, keysSettingsOf, openKeysWorld } from './world.ts';

const signal = new AbortController().signal;

async function world(own: Record<string, unknown> = {}) {
  const opened = await openKeysWorld(own);
  onTestFinished(() => opened.signer.close());
  return opened;
}

test('attest: each assertion is for one use, whatever its signature looks like (14)', async () => {
  const { attestor, sign, runtime } = await world();
  const jti = 'run-1';
  const first = accepted(await attestor.attest(await sign({ jti }), runtime.now(), signal));
  const second = accepted(await attestor.attest(await sign({ jti }), runtime.now(), signal));
  expect(first.proof.singleUse?.id).toBe(second.proof.singleUse?.id);
  const other = accepted(await attestor.attest(await sign({ jti: 'run-2' }), runtime.now(), signal));
  expect(other.proof.singleUse?.id).not.toBe(first.proof.singleUse?.id);
});

test('attest: from the day of their expiry on the keys prove nothing', async () => {
  const { attestor, sign, runtime } = await world({ expires: '2026-03-01' });
  const midnight = Date.parse('2026-03-01T00:00:00Z');
  const iat = midnight / 1000 - 10;
  const evidence = await sign({ iat, exp: iat + 60 });
  accepted(await attestor.attest(evidence, midnight - 1, signal));
  expect(await attestor.attest(evidence, midnight, signal)).toMatchObject({
    error: { reason: 'expired', detail: expect.stringContaining('data platform') },
  });
  expect(await attestor.attest(await sign(), runtime.now(), signal)).toMatchObject({
    error: { reason: 'expired' },
  });
});

test('describe: an exception that names its owner and its end, for this broker alone', async () => {
  const { signer } = await world();
  const described = attestorKind.describe(keysSettingsOf({ jwks: signer.jwks() }));
  expect(described.exceptions?.join()).toMatch(/"data platform".*2026-12-31/);
  expect(described.ownAudience).toBe(BROKER);
  expect(described.names).toEqual(['scheduler', 'backup']);
});

test('settings: need an owner, an expiry, and keys that are public', async () => {
  const { signer } = await world();
  const sound = {
    type: 'keys',
    audience: BROKER,
    subjects: ['scheduler'],
    owner: 'x',
    expires: '2030-01-31',
    jwks: signer.jwks(),
  };
  const parse = (changes: object) => attestorKind.settings.safeParse({ ...sound, ...changes });
  expect(parse({}).success).toBe(true);
  for (const missing of ['owner', 'expires', 'audience', 'subjects', 'jwks']) {
    expect(parse({ [missing]: undefined }).success, missing).toBe(false);
  }
  expect(parse({ expires: '2030-02-31' }).success).toBe(false);
  expect(parse({ expires: 'never' }).success).toBe(false);
  expect(parse({ jwks_file: 'k.json' }).success).toBe(false);
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  expect(() => keysSettingsOf({ jwks: { keys: [{ kty: 'unknown' }] } })).toThrow(/none is a public key/);
  const privateJwk = await exportJWK(privateKey);
  expect(() => keysSettingsOf({ jwks: { keys: [privateJwk] } })).toThrow(/private/);
});
