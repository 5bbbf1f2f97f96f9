import type { Runtime } from '../../runtime.ts';
import type { Attestor } from '../attestor.ts';
import { createTokenAttestor } from '../jwt/attestor.ts';
import { createKeySource } from '../jwt/keys.ts';
import { IDENTITY_TYPES } from '../jwt/token.ts';
import type { OidcSettings } from './settings.ts';

/** Attests the JWTs of one OIDC issuer: those whose `iss` is exactly the configured one. */
export function createOidcAttestor(name: string, settings: OidcSettings, runtime: Runtime): Attestor {
  const profile = {
    ...settings,
    requiredClaims: ['iat', ...settings.requiredClaims],
    method: 'oidc',
    isOurs: (claims: { readonly iss?: unknown }) =>
      Object.hasOwn(claims, 'iss') && claims.iss === settings.issuer,
    types: IDENTITY_TYPES,
  };
  return createTokenAttestor(name, profile, createKeySource(settings, runtime));
}
