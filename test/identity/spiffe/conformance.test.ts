import {
  attestorConformance,
  bearerGarbage,
  bearerMutations,
  certificateGarbage,
  certificateMutations,
} from '../../conformance/attestor.ts';
import { authority, issue } from '../../support/authority.ts';
import { startIssuer } from '../../support/issuer.ts';
import { chainOf, openSpiffeWorld, TRUST_DOMAIN, WORKLOAD } from './world.ts';

attestorConformance({
  name: 'createSpiffeAttestor (JWT-SVID)',
  garbage: bearerGarbage,
  mutations: bearerMutations,
  async create() {
    const world = await openSpiffeWorld({ clock_tolerance_seconds: 20 });
    const { runtime, token, signer } = world;
    const seconds = runtime.now() / 1000;
    const stranger = await startIssuer({ now: runtime.now });
    const kid = signer.jwks().keys[0]?.kid;
    return {
      attestor: world.attestor,
      valid: await token({ nbf: seconds - 5, exp: seconds + 100 }),
      proves: { subject: WORKLOAD, method: 'jwt-svid' },
      now: runtime.now(),
      accepted: { from: runtime.now() - 25_000, until: runtime.now() + 120_000 },
      notMine: {
        'of another trust domain': await token({ sub: 'spiffe://other.example/ns/etl' }),
        'of a longer trust domain': await token({
          sub: `${WORKLOAD.replace('.example/', '.example.evil/')}`,
        }),
        'of no trust domain': await token({ sub: 'nightly' }),
        'in upper case': await token({ sub: WORKLOAD.replace('prod', 'PROD') }),
        opaque: { kind: 'bearer', token: 'AbCd' },
        'a certificate of another trust domain': chainOf(await issue(null, { uris: ['spiffe://other/x'] })),
      },
      refused: {
        expired: { evidence: await token({ exp: seconds - 20 }), reason: 'expired' },
        'without exp': { evidence: await token({ exp: undefined }), reason: 'missing-claim' },
        'without aud': { evidence: await token({ aud: undefined }), reason: 'missing-claim' },
        'for another': { evidence: await token({ aud: ['vault'] }), reason: 'audience' },
        'of a type that is no JWT': {
          evidence: await token({}, { header: { typ: 'at+jwt' } }),
          reason: 'malformed',
        },
        'with .. in it': { evidence: await token({ sub: `${WORKLOAD}/../x` }), reason: 'malformed' },
        'with %2f in it': { evidence: await token({ sub: `${WORKLOAD}%2fx` }), reason: 'malformed' },
        'with a slash at its end': { evidence: await token({ sub: `${WORKLOAD}/` }), reason: 'malformed' },
        'signed by a stranger': {
          evidence: { kind: 'bearer', token: await stranger.sign({ sub: WORKLOAD }) },
          reason: 'unknown-key',
        },
        'signed by a stranger under our key id': {
          evidence: { kind: 'bearer', token: await stranger.sign({ sub: WORKLOAD }, { header: { kid } }) },
          reason: 'signature',
        },
      },
      tooLarge: await token({ padding: 'x'.repeat(20_000) }),
      requestedHosts: () => runtime.hosts,
      configuredHosts: [world.host],
      close: async () => {
        await stranger.close();
        await world.close();
      },
    };
  },
});

attestorConformance({
  name: 'createSpiffeAttestor (X.509-SVID)',
  garbage: certificateGarbage,
  mutations: certificateMutations,
  async create() {
    const world = await openSpiffeWorld();
    const { runtime, intermediate, root } = world;
    const stranger = await authority({ subject: 'CN=Root of prod' });
    const leaf = await issue(intermediate, { uris: [WORKLOAD] });
    const { notBefore, notAfter } = leaf.certificate;
    const one = async (options: Parameters<typeof issue>[1]) =>
      chainOf(await issue(intermediate, { uris: [WORKLOAD], ...options }), intermediate);
    const hour = 3_600_000;
    return {
      attestor: world.attestor,
      valid: chainOf(leaf, intermediate),
      proves: { subject: WORKLOAD, method: 'x509-svid' },
      now: runtime.now(),
      accepted: { from: notBefore.getTime(), until: notAfter.getTime() + 1 },
      notMine: {
        'of another trust domain': await one({ uris: ['spiffe://other.example/ns/etl'] }),
        'of a longer trust domain': await one({ uris: [`spiffe://${TRUST_DOMAIN}.evil/x`] }),
        'in upper case': await one({ uris: [WORKLOAD.replace('prod', 'PROD')] }),
        'without a URI': await one({ uris: [], dns: ['etl.acme.example'] }),
        'an opaque token': { kind: 'bearer', token: 'AbCd' },
        'no certificate at all': { kind: 'client-certificate', chain: [] },
      },
      refused: {
        expired: {
          evidence: await one({ notBefore: runtime.now() - 2 * hour, notAfter: runtime.now() - hour }),
          reason: 'expired',
        },
        'not yet valid': {
          evidence: await one({ notBefore: runtime.now() + hour, notAfter: runtime.now() + 2 * hour }),
          reason: 'not-yet-valid',
        },
        'with two URIs (17)': {
          evidence: await one({ uris: [WORKLOAD, `spiffe://${TRUST_DOMAIN}/ns/other`] }),
          reason: 'certificate',
        },
        'with a URI of another kind beside it (17)': {
          evidence: await one({ uris: ['https://acme.example', WORKLOAD] }),
          reason: 'certificate',
        },
        'an authority as leaf (17)': { evidence: await one({ ca: true }), reason: 'certificate' },
        'that may sign certificates': { evidence: await one({ usage: 1 | 32 }), reason: 'certificate' },
        'that may sign revocation lists': { evidence: await one({ usage: 1 | 64 }), reason: 'certificate' },
        'that may not sign': { evidence: await one({ usage: 4 }), reason: 'certificate' },
        'without key usage': { evidence: await one({ usage: null }), reason: 'certificate' },
        'for servers only': {
          evidence: await one({ extendedUsage: ['1.3.6.1.5.5.7.3.1'] }),
          reason: 'certificate',
        },
        'with the ID of the trust domain': {
          evidence: await one({ uris: [`spiffe://${TRUST_DOMAIN}`] }),
          reason: 'certificate',
        },
        'with a port (17)': {
          evidence: await one({ uris: [`spiffe://${TRUST_DOMAIN}/x:1`] }),
          reason: 'malformed',
        },
        'with .. (17)': { evidence: await one({ uris: [`${WORKLOAD}/../x`] }), reason: 'malformed' },
        'with %2f (17)': { evidence: await one({ uris: [`${WORKLOAD}%2fx`] }), reason: 'malformed' },
        'of a stranger of the same name': {
          evidence: chainOf(await issue(stranger, { uris: [WORKLOAD] })),
          reason: 'signature',
        },
        'of a stranger, with his root': {
          evidence: chainOf(await issue(stranger, { uris: [WORKLOAD] }), stranger),
          reason: 'signature',
        },
        'without its intermediate': { evidence: chainOf(leaf), reason: 'unknown-key' },
        'self-signed': { evidence: chainOf(await issue(null, { uris: [WORKLOAD] })), reason: 'unknown-key' },
        'issued by another leaf': {
          evidence: await (async () => {
            const issuing = await issue(root, { subject: 'CN=leaf', uris: [WORKLOAD] });
            return chainOf(await issue(issuing, { uris: [WORKLOAD] }), issuing);
          })(),
          reason: 'unknown-key',
        },
        'below one authority too many': {
          evidence: await (async () => {
            const third = await issue(intermediate, { ca: true, subject: 'CN=third' });
            return chainOf(await issue(third, { uris: [WORKLOAD] }), third, intermediate);
          })(),
          reason: 'certificate',
        },
      },
      tooLarge: { kind: 'client-certificate', chain: Array(9).fill(leaf.der) },
      requestedHosts: () => runtime.hosts,
      configuredHosts: [world.host],
      close: () => world.close(),
    };
  },
});
