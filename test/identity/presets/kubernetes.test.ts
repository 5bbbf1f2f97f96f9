import { rmSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { KEYS_FRESH_MS } from '../../../src/identity/jwt/limits.ts';
import { attestorKind } from '../../../src/identity/presets/kubernetes.ts';
import { REVIEW_TIMEOUT_MS } from '../../../src/identity/presets/token-review.ts';
import { createCertificate } from '../../support/certificates.ts';
import { startIssuer } from '../../support/issuer.ts';
import { until } from '../../support/runtime.ts';
import { SUBJECT, startCluster } from './world.ts';

async function openCluster(...args: Parameters<typeof startCluster>) {
  const world = await startCluster(...args);
  onTestFinished(world.close);
  return world;
}

test('kubernetes: takes the keys from the API server, by its CA and with the token of the pod', async () => {
  const { token, verdict, cluster, runtime } = await openCluster();
  expect(await verdict(await token())).toBe('ok');
  expect(await verdict(await token({ iss: 'https://other.cluster' }))).toBe('null');
  expect(await verdict(await token({ 'kubernetes.io': undefined }))).toBe('missing-claim');
  expect(cluster.hits()).toEqual({ keys: 1, reviews: 0 });
  expect(new Set(runtime.hosts)).toEqual(new Set([cluster.host]));
});

test('kubernetes: reads its own token anew when that was rotated, and asks nobody without it', async () => {
  const { token, verdict, rotate, runtime, issuer, cluster } = await openCluster();
  const lasting = () => token({ exp: 4_000_000_000 });
  expect(await verdict(await lasting())).toBe('ok');
  rotate();
  await issuer.rotate();
  cluster.jwks = issuer.jwks();
  await runtime.advance(KEYS_FRESH_MS);
  expect(await verdict(await lasting())).toBe('ok');
  const gone = await openCluster();
  rmSync(gone.tokenFile);
  expect(await gone.verdict(await gone.token())).toBe('keys-unavailable');
  writeFileSync(gone.tokenFile, 'a b\nc');
  await gone.runtime.advance(60_000);
  expect(await gone.verdict(await gone.token())).toBe('keys-unavailable');
  expect(gone.runtime.hosts).toEqual([]);
});

test('kubernetes: another CA than that of the API server is no answer', async () => {
  const { cert } = await createCertificate({ name: 'other', address: '127.0.0.1' });
  const { token, verdict } = await openCluster({}, { ca_file: cert });
  expect(await verdict(await token())).toBe('keys-unavailable');
});

test('token review (fake API server): a token of a deleted pod dies at once', async () => {
  const { token, verdict, cluster } = await openCluster({ token_review: true });
  const text = await token();
  expect(await verdict(text)).toBe('ok');
  expect(await verdict(text)).toBe('ok');
  expect(cluster.hits().reviews).toBe(2);
  cluster.deleted.add(text);
  expect(await verdict(text)).toBe('revoked');
  expect(await verdict(await token({ jti: 'another pod' }))).toBe('ok');
});

test('token review (fake API server): is asked about good tokens only', async () => {
  const { token, verdict, cluster } = await openCluster({ token_review: true });
  expect(await verdict(await token({ exp: 1 }))).toBe('expired');
  expect(await verdict(await token({ iss: 'https://other.cluster' }))).toBe('null');
  expect(await verdict(`${await token()}x`)).not.toBe('ok');
  expect(cluster.hits().reviews).toBe(0);
});

test('token review (fake API server): an answer about something else is no yes', async () => {
  const { token, verdict, cluster } = await openCluster({ token_review: true });
  const good = { authenticated: true, user: { username: SUBJECT, uid: 'u-1' }, audiences: ['hallpass'] };
  const says = async (status: unknown) => {
    cluster.status = () => status;
    return verdict(await token());
  };
  expect(await says(good)).toBe('ok');
  expect(await says({ ...good, audiences: [] })).toBe('audience');
  expect(await says({ ...good, audiences: undefined })).toBe('audience');
  expect(await says({ ...good, audiences: ['vault'] })).toBe('audience');
  expect(await says({ ...good, user: { username: 'system:serviceaccount:etl:other', uid: 'u-1' } })).toBe(
    'revoked',
  );
  expect(await says({ ...good, user: { username: SUBJECT, uid: 'u-2' } })).toBe('revoked');
  expect(await says({ ...good, user: undefined })).toBe('revoked');
  expect(await says({ ...good, authenticated: undefined })).toBe('revoked');
  expect(await says({ ...good, authenticated: 'true' })).toBe('keys-unavailable');
  expect(await says('yes')).toBe('keys-unavailable');
});

test('token review (fake API server): a server that is down, refuses or hangs has not said yes', async () => {
  const { token, verdict, cluster, runtime } = await openCluster({ token_review: true });
  expect(await verdict(await token())).toBe('ok');
  for (const fault of [500, 401, 403, 302, 404]) {
    cluster.fault = fault;
    expect(await verdict(await token()), `${fault}`).toBe('keys-unavailable');
  }
  cluster.fault = null;
  expect(await verdict(await token())).toBe('ok');
  cluster.fault = 'hang';
  const waiting = verdict(await token());
  await until(() => runtime.sleeping() > 0);
  await runtime.advance(REVIEW_TIMEOUT_MS);
  expect(await waiting).toBe('keys-unavailable');
  await cluster.close();
  expect(await verdict(await token())).toBe('keys-unavailable');
});

test('kubernetes: pinned keys are used unasked, with a review or without', async () => {
  const issuer = await startIssuer({ algorithms: ['RS256'] });
  onTestFinished(() => issuer.close());
  const jwks = JSON.stringify(issuer.jwks());
  const { token, verdict, cluster } = await openCluster(
    { jwks_file: 'keys.json', token_review: true },
    { jwks_file: jwks },
  );
  expect(await verdict(await token())).toBe('unknown-key');
  expect(cluster.hits()).toEqual({ keys: 0, reviews: 0 });
});

test('settings: in_cluster is where a kubelet puts things, and a review needs somebody to ask', () => {
  const parse = (own: object) =>
    attestorKind.settings.safeParse({ type: 'kubernetes', audience: 'hallpass', ...own });
  expect(parse({ in_cluster: true }).data).toMatchObject({
    api_server: 'https://kubernetes.default.svc',
    ca_file: '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt',
    token_file: '/var/run/secrets/kubernetes.io/serviceaccount/token',
  });
  expect(parse({ in_cluster: true, jwks_file: 'k' }).data).toMatchObject({ ca_file: undefined });
  expect(parse({ token_review: true }).success).toBe(false);
  expect(parse({ token_review: true, api_server: 'https://k8s.acme.example' }).success).toBe(false);
  expect(parse({ api_server: 'http://k8s.acme.example' }).success).toBe(false);
  expect(parse({ token_file: 'token', api_server: 'https://k8s.acme.example' }).success).toBe(false);
});
