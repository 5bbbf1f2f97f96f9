import { createOidcAttestor } from '../../../src/identity/oidc/attestor.ts';
import { attestorConformance, bearerGarbage, bearerMutations } from '../../conformance/attestor.ts';
import { startIssuer } from '../../support/issuer.ts';
import { createTestRuntime } from '../../support/runtime.ts';
import { bearer, settingsOf } from './world.ts';

for (const algorithm of ['ES256', 'RS256']) {
  attestorConformance({
    name: `createOidcAttestor (${algorithm})`,
    garbage: bearerGarbage,
    mutations: bearerMutations,
    async create() {
      const runtime = createTestRuntime();
      const now = runtime.now();
      const seconds = now / 1000;
      const issuer = await startIssuer({ now: runtime.now, algorithms: [algorithm] });
      const stranger = await startIssuer({ now: runtime.now, algorithms: [algorithm] });
      const settings = {
        issuer: issuer.url,
        algorithms: [algorithm],
        clock_tolerance_seconds: 20,
        single_use: true,
        required_claims: ['project'],
      };
      const token = async (claims: Record<string, unknown>) =>
        bearer(await issuer.sign({ project: 'p', ...claims }));
      const header = { kid: issuer.jwks().keys[0]?.kid };
      return {
        attestor: createOidcAttestor('ci', settingsOf(settings), runtime),
        valid: await token({ nbf: seconds - 5, exp: seconds + 100, groups: ['a', { b: [1] }] }),
        proves: { subject: 'workload', method: 'oidc' },
        now,
        // `iat` is ten seconds ago, and `nbf` later than that: it decides.
        accepted: { from: now - 25_000, until: now + 120_000 },
        notMine: {
          'of another issuer': bearer(await stranger.sign()),
          'without an issuer': await token({ iss: undefined }),
          'with an issuer that is no string': await token({ iss: [issuer.url] }),
          'with a slash more': await token({ iss: `${issuer.url}/` }),
          opaque: bearer('AbCdEf-not-a-jwt'),
          empty: bearer(''),
        },
        refused: {
          expired: { evidence: await token({ exp: seconds - 20 }), reason: 'expired' },
          'not yet valid': { evidence: await token({ nbf: seconds + 21 }), reason: 'not-yet-valid' },
          'without a required claim': {
            evidence: await token({ project: undefined }),
            reason: 'missing-claim',
          },
          'for another audience': { evidence: await token({ aud: 'vault' }), reason: 'audience' },
          'signed by a stranger in our name': {
            evidence: bearer(await stranger.sign({ iss: issuer.url, project: 'p' })),
            reason: 'unknown-key',
          },
          'signed by a stranger under our key id': {
            evidence: bearer(await stranger.sign({ iss: issuer.url, project: 'p' }, { header })),
            reason: 'signature',
          },
        },
        tooLarge: await token({ padding: 'x'.repeat(20_000) }),
        requestedHosts: () => runtime.hosts,
        configuredHosts: [issuer.host],
        close: async () => {
          await issuer.close();
          await stranger.close();
        },
      };
    },
  });
}
