import { err, ok } from '../../result.ts';
import type { Attestor, AttestorKind } from '../attestor.ts';
import { createTokenAttestor, type TokenProfile } from '../jwt/attestor.ts';
import { createKeySet } from '../jwt/jwks.ts';
import { pinnedSource } from '../jwt/refreshed.ts';
import { type KeysConfiguration, type KeysSettings, keysSettings, resolveKeysSettings } from './settings.ts';

/** RFC 7523, section 3, asks for a short life; whoever has the key signs again at once. */
const LIFETIME_MAX_SECONDS = 300;

/** What `hallpass key new` makes, and what other makers of keys have. */
const ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'Ed25519', 'RS256', 'PS256'];

/** Workloads without an issuer, known by their public keys: RFC 7523, section 3. */
export const attestorKind: AttestorKind<KeysConfiguration, KeysSettings> = {
  type: 'keys',
  settings: keysSettings,
  fileSettings: ['jwks_file'],
  resolve: resolveKeysSettings,
  describe: ({ subjects, owner, expires, audience, fallback }) => ({
    names: subjects,
    ownAudience: audience,
    ...(fallback && { fallback }),
    rules: {
      pins: [{ anyOf: [['sub']], because: 'every workload of the key set signs with its keys' }],
      beside: [],
      never: [],
      forms: [],
      unreliable: {},
      strings: ['sub'],
    },
    exceptions: [
      `An exception: pinned keys, which prove only that somebody has a file; owner ${JSON.stringify(owner)}, refused from ${expires} on`,
    ],
  }),
  create: createKeysAttestor,
};

/** Attests assertions that a workload signed about itself. `name` is the issuer's in the configuration. */
export function createKeysAttestor(name: string, settings: KeysSettings): Attestor {
  const { subjects, audience, clockToleranceSeconds, expires, owner } = settings;
  const profile: TokenProfile = {
    method: 'pinned-key',
    isOurs: (claims) =>
      Object.hasOwn(claims, 'iss') && typeof claims.iss === 'string' && subjects.includes(claims.iss),
    algorithms: ALGORITHMS,
    types: new Set(['jwt']),
    audiences: [audience],
    allowOtherAudiences: false,
    requiredClaims: ['iat', 'jti'],
    maxAgeSeconds: LIFETIME_MAX_SECONDS,
    clockToleranceSeconds,
    singleUse: true,
    faultOf(claims, { sub, exp, iat = 0 }) {
      if (sub !== claims.iss)
        return { reason: 'malformed', detail: '"iss" and "sub" differ: a workload speaks for itself alone' };
      if (Array.isArray(claims.aud) && claims.aud.length !== 1)
        return { reason: 'audience', detail: '"aud" does not name this broker once and nobody else' };
      return exp - iat > LIFETIME_MAX_SECONDS || exp <= iat
        ? { reason: 'long-lived', detail: `"exp" is not 1 to ${LIFETIME_MAX_SECONDS} seconds after "iat"` }
        : null;
    },
  };
  const bySignature = createTokenAttestor(name, profile, pinnedSource(createKeySet(settings.keys)));
  const until = Date.parse(expires);
  return {
    issuer: name,
    async attest(evidence, now, signal) {
      const verdict = await bySignature.attest(evidence, now, signal);
      if (!verdict?.ok) return verdict;
      if (now < until) {
        const proof = Object.freeze({ ...verdict.value.proof, exceptionEndsAt: until });
        return ok(Object.freeze({ ...verdict.value, proof }));
      }
      const detail = `The keys are refused from ${expires} on: ${JSON.stringify(owner)} must renew or replace them`;
      return err({ reason: 'expired', detail, issuer: name });
    },
  };
}
