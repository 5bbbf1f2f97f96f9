import type { AttestorKind } from '../attestor.ts';
import { createOidcAttestor } from './attestor.ts';
import {
  OIDC_FILE_SETTINGS,
  type OidcConfiguration,
  type OidcSettings,
  oidcSettings,
  peopleSignIn,
  resolveOidcSettings,
} from './settings.ts';

/** Issuers of signed JSON Web Tokens, found by OpenID Connect discovery or with pinned keys. */
export const attestorKind: AttestorKind<OidcConfiguration, OidcSettings> = {
  type: 'oidc',
  settings: oidcSettings,
  fileSettings: OIDC_FILE_SETTINGS,
  resolve: resolveOidcSettings,
  describe: (settings) => ({
    url: settings.issuer,
    names: [settings.issuer],
    ...(settings.keys.kind !== 'pinned' && { isFetched: true }),
    signIn: peopleSignIn(settings),
  }),
  create: createOidcAttestor,
};
