import type { Kinds } from './config/config.ts';
import type { AttestorKind } from './identity/attestor.ts';
import type { ProviderKind } from './providers/provider.ts';

/** Every kind of issuer and target by its name in the configuration. Each is loaded when a configuration names it. */

export const attestorKinds: Kinds<AttestorKind> = {
  oidc: async () => (await import('./identity/oidc/kind.ts')).attestorKind as AttestorKind,
  github: async () => (await import('./identity/presets/github.ts')).attestorKind as AttestorKind,
  'github-enterprise': async () =>
    (await import('./identity/presets/github-enterprise.ts')).attestorKind as AttestorKind,
  gitlab: async () => (await import('./identity/presets/gitlab.ts')).attestorKind as AttestorKind,
  buildkite: async () => (await import('./identity/presets/buildkite.ts')).attestorKind as AttestorKind,
  circleci: async () => (await import('./identity/presets/circleci.ts')).attestorKind as AttestorKind,
  'terraform-cloud': async () =>
    (await import('./identity/presets/terraform-cloud.ts')).attestorKind as AttestorKind,
  bitbucket: async () => (await import('./identity/presets/bitbucket.ts')).attestorKind as AttestorKind,
  kubernetes: async () => (await import('./identity/presets/kubernetes.ts')).attestorKind as AttestorKind,
  google: async () => (await import('./identity/presets/google.ts')).attestorKind as AttestorKind,
  azure: async () => (await import('./identity/presets/azure.ts')).attestorKind as AttestorKind,
  'aws-web-identity': async () =>
    (await import('./identity/presets/aws-web-identity.ts')).attestorKind as AttestorKind,
  keys: async () => (await import('./identity/keys/kind.ts')).attestorKind as AttestorKind,
  spiffe: async () => (await import('./identity/spiffe/kind.ts')).attestorKind as AttestorKind,
  aws: async () => (await import('./identity/aws/kind.ts')).attestorKind as AttestorKind,
  'client-certificate': async () =>
    (await import('./identity/client-certificate/kind.ts')).attestorKind as AttestorKind,
};

export const providerKinds: Kinds<ProviderKind> = {
  aws: async () => (await import('./providers/aws/provider.ts')).provider as ProviderKind,
  google: async () => (await import('./providers/google/provider.ts')).provider as ProviderKind,
  http: async () => (await import('./providers/http/provider.ts')).provider as ProviderKind,
  postgres: async () => (await import('./providers/postgres/provider.ts')).provider as ProviderKind,
  vault: async () => (await import('./providers/vault/provider.ts')).provider as ProviderKind,
};
