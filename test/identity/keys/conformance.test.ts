import { attestorConformance, bearerGarbage, bearerMutations } from '../../conformance/attestor.ts';
import { startIssuer } from '../../support/issuer.ts';
import { openKeysWorld } from './world.ts';

attestorConformance({
  name: 'createKeysAttestor',
  garbage: bearerGarbage,
  mutations: bearerMutations,
  async create() {
    const { runtime, signer, attestor, sign, iat } = await openKeysWorld({ clock_tolerance_seconds: 20 });
    const stranger = await startIssuer({ now: runtime.now });
    const strange = { iss: 'scheduler', sub: 'scheduler', aud: 'https://hallpass.acme.example' };
    const kid = signer.jwks().keys[0]?.kid;
    return {
      attestor,
      valid: await sign(),
      proves: { subject: 'scheduler', method: 'pinned-key' },
      now: runtime.now(),
      accepted: { from: (iat - 20) * 1000, until: (iat + 140) * 1000 },
      notMine: {
        'of another workload': await sign({ iss: 'somebody', sub: 'somebody' }),
        'of an issuer': { kind: 'bearer', token: await stranger.sign() },
        'without an issuer': await sign({ iss: undefined }),
        opaque: { kind: 'bearer', token: 'AbCd' },
        'a certificate': { kind: 'client-certificate', chain: [new Uint8Array(8)] },
      },
      refused: {
        expired: { evidence: await sign({ iat: iat - 200, exp: iat - 80 }), reason: 'expired' },
        'not issued yet': { evidence: await sign({ iat: iat + 60, exp: iat + 90 }), reason: 'not-yet-valid' },
        'for another audience': { evidence: await sign({ aud: 'vault' }), reason: 'audience' },
        'for another audience too': {
          evidence: await sign({ aud: ['https://hallpass.acme.example', 'vault'] }),
          reason: 'audience',
        },
        'for us twice': {
          evidence: await sign({ aud: ['https://hallpass.acme.example', 'https://hallpass.acme.example'] }),
          reason: 'audience',
        },
        'about somebody else': { evidence: await sign({ sub: 'backup' }), reason: 'malformed' },
        'without jti': { evidence: await sign({ jti: undefined }), reason: 'missing-claim' },
        'without iat': { evidence: await sign({ iat: undefined }), reason: 'missing-claim' },
        'without exp': { evidence: await sign({ exp: undefined }), reason: 'missing-claim' },
        'of too long a life': { evidence: await sign({ exp: iat + 301 }), reason: 'long-lived' },
        'that ends before it begins': { evidence: await sign({ exp: iat - 1 }), reason: 'long-lived' },
        'signed by a stranger': {
          evidence: { kind: 'bearer', token: await stranger.sign(strange) },
          reason: 'unknown-key',
        },
        'signed by a stranger under our key id': {
          evidence: { kind: 'bearer', token: await stranger.sign(strange, { header: { kid } }) },
          reason: 'signature',
        },
        'of another media type': {
          evidence: await sign({}, { header: { typ: 'at+jwt' } }),
          reason: 'malformed',
        },
      },
      tooLarge: await sign({ padding: 'x'.repeat(20_000) }),
      requestedHosts: () => runtime.hosts,
      configuredHosts: [],
      close: async () => {
        await signer.close();
        await stranger.close();
      },
    };
  },
});
