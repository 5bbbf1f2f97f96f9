import { provider } from '../../../src/providers/vault/provider.ts';
import type { VaultScope, VaultSettings } from '../../../src/providers/vault/settings.ts';
import { type FakeVault, type FakeVaultOptions, startFakeVault } from '../../fakes/vault.ts';
import { startIssuer } from '../../support/issuer.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';

/** The least policy that the provider's page asks for. */
export const BROKER_POLICY = Object.fromEntries(
  [
    'auth/token/create/hallpass',
    'auth/token/lookup-accessor',
    'auth/token/revoke-accessor',
    'sys/leases/lookup',
    'sys/leases/revoke',
    'sys/wrapping/wrap',
  ].map((path) => [path, ['update']]),
);

/** A fake Vault that trusts an issuer as it would trust a broker, behind a network that can fail. */
export async function startVaultWorld(options: FakeVaultOptions = {}) {
  const issuer = await startIssuer({ algorithms: ['ES256'] });
  const vault = await startFakeVault({ ...options, jwt: { jwks: issuer.jwks, issuer: issuer.url } });
  const proxy = await startTcpProxy({ host: '127.0.0.1', port: vault.port });
  vault.policy('conformance', BROKER_POLICY);
  vault.policy('weak', {});
  vault.policy('reports', {
    'database/creds/reporting': ['read'],
    'pki/issue/*': ['update'],
    'ssh/sign/*': ['update'],
    'secret/data/*': ['read'],
  });
  vault.tokenRole('hallpass', { allowed_policies: ['reports'], orphan: true, token_no_default_policy: true });
  return {
    vault,
    issuer,
    proxy,
    identityToken: (audience: string, claims: object, ttlSeconds: number) => {
      const now = Math.floor(Date.now() / 1000);
      return issuer.sign({
        ...claims,
        iss: issuer.url,
        sub: 'hallpass:target:conformance',
        aud: audience,
        iat: now,
        exp: now + ttlSeconds,
      });
    },
    async stop() {
      await proxy.close();
      await vault.stop();
      await issuer.close();
    },
  };
}

export function settingsFor(address: string, over: object = {}): VaultSettings {
  return provider.settings.parse({
    address,
    insecure_plaintext: true,
    auth: { jwt: { role: 'conformance' } },
    ...over,
  });
}

export function scopeOf(over: object = {}): VaultScope {
  return provider.scope.parse({
    policies: ['reports'],
    secrets: { db: { path: 'database/creds/reporting' } },
    ...over,
  });
}

/** The token of ours by the lease's name, seen from Vault's side. */
export function tokenNamed(vault: FakeVault, name: string) {
  return [...vault.tokens.values()].find((token) => token.meta.hallpass === name);
}
