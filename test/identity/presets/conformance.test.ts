import { afterAll } from 'vitest';
import type { AttestationReason, Evidence } from '../../../src/identity/attestor.ts';
import { attestorConformance, bearerGarbage, bearerMutations } from '../../conformance/attestor.ts';
import { startIssuer } from '../../support/issuer.ts';
import { createTestRuntime, TEST_EPOCH } from '../../support/runtime.ts';
import { cases, open } from './cases.ts';
import { SUBJECT, startCluster } from './world.ts';

type Claims = Record<string, unknown>;
type Refused = Record<string, { evidence: Evidence; reason: AttestationReason }>;

const bearer = (token: string): Evidence => ({ kind: 'bearer', token });

/** What is the same for all that have an OIDC token: whose it is, for whom, and since and until when. */
async function tokensOf(own: { readonly iss: string } & Claims, nowMs: number) {
  const seconds = nowMs / 1000;
  const token = async (claims: Claims = {}) => bearer(await issuer.sign({ ...own, ...claims }));
  const refused: Refused = {
    expired: { evidence: await token({ exp: seconds - 20 }), reason: 'expired' },
    'not yet valid': { evidence: await token({ nbf: seconds + 21 }), reason: 'not-yet-valid' },
    'for another audience': { evidence: await token({ aud: 'vault' }), reason: 'audience' },
    'without what the operator requires': {
      evidence: await token({ job: undefined }),
      reason: 'missing-claim',
    },
    'signed by a stranger in our name': {
      evidence: bearer(await stranger.sign(own)),
      reason: 'unknown-key',
    },
    'signed by a stranger under our key id': {
      evidence: bearer(await stranger.sign(own, { header: { kid: issuer.jwks().keys[0]?.kid } })),
      reason: 'signature',
    },
  };
  return {
    token,
    valid: await token({ nbf: seconds - 5, exp: seconds + 100 }),
    // `iat` is ten seconds ago, and `nbf` later than that: it decides. The tolerance is twenty seconds.
    accepted: { from: nowMs - 25_000, until: nowMs + 120_000 },
    notMine: {
      'of another issuer': await token({ iss: stranger.url }),
      'without an issuer': await token({ iss: undefined }),
      'of an issuer whose name goes on': await token({ iss: `${own.iss}x` }),
      opaque: bearer('AbCdEf-not-a-jwt'),
    },
    refused,
    tooLarge: await token({ padding: 'x'.repeat(20_000) }),
  };
}

/** Their issuers put nothing into every token but what all tokens have. */
const WITHOUT_CLAIMS_OF_THEIR_OWN = new Set(['google']);

const SETTINGS = { clock_tolerance_seconds: 20, single_use: true, required_claims: ['job'] };

// RSA keys take long to make: all tests have the same two issuers, which nothing here changes.
const options = { now: () => TEST_EPOCH, algorithms: ['RS256'] };
const issuer = await startIssuer(options);
const stranger = await startIssuer(options);
afterAll(async () => {
  await issuer.close();
  await stranger.close();
});

/** One of each type. */
const presets = new Map(cases.toReversed().map((preset) => [preset.type, preset]));

for (const preset of presets.values()) {
  attestorConformance({
    name: `preset ${preset.type}`,
    garbage: bearerGarbage,
    mutations: bearerMutations,
    async create() {
      const runtime = createTestRuntime();
      const { kind, settings } = await open(
        { type: preset.type, settings: { ...SETTINGS, ...preset.settings } },
        { jwks_file: JSON.stringify(issuer.jwks()) },
      );
      const own = { iss: preset.iss, job: 'j', ...preset.claims };
      const { token, ...tokens } = await tokensOf(own, runtime.now());
      const bare = Object.fromEntries(Object.keys(preset.claims).map((name) => [name, undefined]));
      return {
        ...tokens,
        attestor: kind.create('ci', settings, runtime),
        proves: { subject: String(preset.claims.sub ?? 'workload'), method: 'oidc' },
        now: runtime.now(),
        refused: {
          ...tokens.refused,
          ...(WITHOUT_CLAIMS_OF_THEIR_OWN.has(preset.type)
            ? {}
            : {
                'without what the preset requires': {
                  evidence: await token({ ...bare, sub: 'workload', jti: undefined }),
                  reason: 'missing-claim' as const,
                },
              }),
        },
        requestedHosts: () => runtime.hosts,
        configuredHosts: [],
        close: async () => {},
      };
    },
  });
}

attestorConformance({
  name: 'kubernetes with a token review (fake API server)',
  garbage: bearerGarbage,
  mutations: bearerMutations,
  async create() {
    const world = await startCluster({ ...SETTINGS, token_review: true }, {}, issuer);
    const { runtime, cluster, attestor } = world;
    const own = {
      iss: 'https://kubernetes.default.svc.cluster.local',
      sub: SUBJECT,
      job: 'j',
      'kubernetes.io': { namespace: 'etl', serviceaccount: { name: 'nightly', uid: 'u-1' } },
    };
    const { token, ...tokens } = await tokensOf(own, runtime.now());
    const ofDeletedPod = await token();
    if (ofDeletedPod.kind === 'bearer') cluster.deleted.add(ofDeletedPod.token);
    return {
      ...tokens,
      attestor,
      proves: { subject: SUBJECT, method: 'oidc' },
      now: runtime.now(),
      refused: {
        ...tokens.refused,
        'of a pod that is gone': { evidence: ofDeletedPod, reason: 'revoked' },
        'of no service account': {
          evidence: await token({ 'kubernetes.io': undefined }),
          reason: 'missing-claim',
        },
      },
      requestedHosts: () => runtime.hosts,
      configuredHosts: [cluster.host],
      close: world.close,
    };
  },
});
