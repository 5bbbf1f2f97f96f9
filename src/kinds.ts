import type { Kinds } from './config/config.ts';
import type { AttestorKind } from './identity/attestor.ts';
import type { ProviderKind } from './providers/provider.ts';

/** Every kind of issuer and target by its name in the configuration. Each is loaded when a configuration names it. */

export const attestorKinds: Kinds<AttestorKind> = {
  oidc: async () => (await import('./identity/oidc/kind.ts')).attestorKind as AttestorKind,
};

export const providerKinds: Kinds<ProviderKind> = {
  aws: async () => (await import('./providers/aws/provider.ts')).provider as ProviderKind,
  postgres: async () => (await import('./providers/postgres/provider.ts')).provider as ProviderKind,
};
