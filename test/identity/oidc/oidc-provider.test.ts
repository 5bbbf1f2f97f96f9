import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';
import { expect, onTestFinished, test } from 'vitest';
import { createOidcAttestor } from '../../../src/identity/oidc/attestor.ts';
import { accepted } from '../../conformance/attestor.ts';
import { createTestRuntime } from '../../support/runtime.ts';
import { bearer, settingsOf } from './world.ts';

const AUDIENCE = 'urn:example:hallpass';

/** A certified OpenID provider whose clients get JWT access tokens for our audience by their own credentials. */
async function startProvider(): Promise<{ url: string; token(): Promise<string> }> {
  const server = createServer((request, response) => handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const secret = crypto.randomUUID();
  const provider = new Provider(url, {
    jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'one', alg: 'ES256', use: 'sig' }] },
    clients: [
      {
        client_id: 'nightly-report',
        client_secret: secret,
        grant_types: ['client_credentials'],
        id_token_signed_response_alg: 'ES256',
        redirect_uris: [],
        response_types: [],
      },
    ],
    cookies: { keys: [crypto.randomUUID()] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: 'task',
          audience: AUDIENCE,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 300,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  const handle = provider.callback();
  return {
    url,
    token: async () => {
      const response = await fetch(`${url}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa(`nightly-report:${secret}`)}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', resource: AUDIENCE, scope: 'task' }),
      });
      const { access_token: token } = (await response.json()) as { access_token: string };
      return token;
    },
  };
}

test('createOidcAttestor: verifies the access token of a real OpenID provider, by discovery', async () => {
  const provider = await startProvider();
  const runtime = createTestRuntime({ now: Date.now(), runs: true });
  const attestor = createOidcAttestor(
    'provider',
    settingsOf({
      issuer: provider.url,
      audience: AUDIENCE,
      required_claims: ['client_id'],
      single_use: true,
    }),
    runtime,
  );
  const token = bearer(await provider.token());
  const attest = () => attestor.attest(token, runtime.now(), new AbortController().signal);
  const principal = accepted(await attest());
  expect(principal).toMatchObject({
    issuer: 'provider',
    subject: 'nightly-report',
    claims: { iss: provider.url, aud: AUDIENCE, client_id: 'nightly-report', scope: 'task' },
    proof: { method: 'oidc', singleUse: { id: expect.stringMatching(/^provider:jti:/) } },
  });
  expect(new Set(runtime.hosts)).toEqual(new Set([new URL(provider.url).host]));
  await runtime.advance(400_000);
  expect(await attest()).toMatchObject({ ok: false, error: { reason: 'expired' } });
});
