import { provider } from '../../../src/providers/http/provider.ts';
import type { HttpSettings } from '../../../src/providers/http/settings.ts';
import { startFakeWebhook } from '../../fakes/webhook.ts';
import { startIssuer } from '../../support/issuer.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';

export const AUDIENCE = 'https://credentials.acme.example';

/** A service that trusts an issuer as it would trust a broker, behind a network that can fail. */
export async function startWebhookWorld() {
  const issuer = await startIssuer({ algorithms: ['ES256'] });
  const subject = 'hallpass:target:conformance';
  const trusted = { url: issuer.url, jwks: () => issuer.jwks() as never };
  const service = await startFakeWebhook({ issuer: trusted, audience: AUDIENCE, subject, path: '/hooks' });
  const proxy = await startTcpProxy({ host: '127.0.0.1', port: service.port });
  return {
    service,
    issuer,
    proxy,
    identityToken: (audience: string, claims: object, ttlSeconds: number) => {
      const now = Math.floor(Date.now() / 1000);
      const own = { iss: issuer.url, sub: subject, aud: audience, iat: now, exp: now + ttlSeconds };
      return issuer.sign({ ...claims, ...own });
    },
    settings: (over: object = {}, port = service.port): HttpSettings =>
      provider.settings.parse({
        url: `http://127.0.0.1:${port}/hooks`,
        audience: AUDIENCE,
        insecure_plaintext: true,
        ...over,
      }),
    async stop() {
      await proxy.close();
      await service.stop();
      await issuer.close();
    },
  };
}
