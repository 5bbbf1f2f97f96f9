import { provider } from '../../../src/providers/google/provider.ts';
import type { GoogleScope, GoogleSettings } from '../../../src/providers/google/settings.ts';
import { startFakeGoogle } from '../../fakes/google.ts';
import { startIssuer } from '../../support/issuer.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';

export const ACCOUNT = 'reports@acme-data.iam.gserviceaccount.com';

/** A fake Google that trusts an issuer as it would trust a broker, behind a network that can fail. */
export async function startGoogleWorld() {
  const issuer = await startIssuer({ algorithms: ['ES256'] });
  const google = await startFakeGoogle({ url: issuer.url, jwks: () => issuer.jwks() as never });
  const proxy = await startTcpProxy({ host: '127.0.0.1', port: google.port });
  google.allow('hallpass:target:conformance', ACCOUNT);
  return {
    google,
    issuer,
    proxy,
    identityToken: (audience: string, claims: object, ttlSeconds: number) => {
      const now = Math.floor(Date.now() / 1000);
      const own = {
        iss: issuer.url,
        sub: 'hallpass:target:conformance',
        aud: audience,
        iat: now,
        exp: now + ttlSeconds,
      };
      return issuer.sign({ ...claims, ...own });
    },
    settings: (over: object = {}, port = google.port): GoogleSettings => {
      const at = `http://127.0.0.1:${port}`;
      return provider.settings.parse({
        workload_identity_provider: google.workloadIdentityProvider,
        insecure_endpoints: { sts: at, iam_credentials: at },
        ...over,
      });
    },
    async stop() {
      await proxy.close();
      await google.stop();
      await issuer.close();
    },
  };
}

export function scopeOf(over: object = {}): GoogleScope {
  return provider.scope.parse({
    service_account: ACCOUNT,
    scopes: ['https://www.googleapis.com/auth/devstorage.read_only'],
    ...over,
  });
}
