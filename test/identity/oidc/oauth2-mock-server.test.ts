import { OAuth2Server } from 'oauth2-mock-server';
import { expect, onTestFinished, test } from 'vitest';
import { createOidcAttestor } from '../../../src/identity/oidc/attestor.ts';
import { createTestRuntime } from '../../support/runtime.ts';
import { bearer, settingsOf } from './world.ts';

/** An issuer that is not ours, and that also makes what an issuer should not. */
async function startServer() {
  const server = new OAuth2Server();
  await server.issuer.keys.generate('ES256');
  await server.start(0, '127.0.0.1');
  onTestFinished(() => server.stop());
  const url = `http://127.0.0.1:${server.address().port}`;
  server.issuer.url = url;
  return { server, url };
}

test('createOidcAttestor: tells what another issuer makes well from what it makes wrong', async () => {
  const { server, url } = await startServer();
  const runtime = createTestRuntime({ now: Date.now(), runs: true });
  const attestor = createOidcAttestor('mock', settingsOf({ issuer: url }), runtime);
  const verdict = async (claims: Record<string, unknown>, expiresIn = 300) => {
    const token = await server.issuer.buildToken({
      scopesOrTransform: (_header, payload) => {
        Object.assign(payload, { sub: 'job', aud: 'hallpass' }, claims);
      },
      expiresIn,
    });
    const answer = await attestor.attest(bearer(token), runtime.now(), new AbortController().signal);
    return answer === null ? null : answer.ok ? answer.value.subject : answer.error.reason;
  };
  expect(await verdict({})).toBe('job');
  expect(await verdict({ aud: 'another' })).toBe('audience');
  expect(await verdict({}, -300)).toBe('expired');
  expect(await verdict({ nbf: Math.floor(runtime.now() / 1000) + 3_600 })).toBe('not-yet-valid');
  expect(await verdict({ sub: undefined })).toBe('missing-claim');
  expect(await verdict({ iss: 'http://127.0.0.1:1' })).toBeNull();

  // A key that the server signs with before anybody has heard of it is looked for once, and found.
  await server.issuer.keys.generate('ES256');
  runtime.jump(60_000);
  expect(new Set([await verdict({}), await verdict({})])).toEqual(new Set(['job']));
});
