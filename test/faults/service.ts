import type { JSONWebKeySet } from 'jose';
import { startFakeWebhook } from '../fakes/webhook.ts';

/** A target of our own: it makes and ends credentials, and remembers what it truly did and when. */
export interface TruthfulService extends AsyncDisposable {
  readonly port: number;
  /** What exists now, by name. Instants are milliseconds since the epoch. */
  readonly live: ReadonlyMap<string, { readonly expiresAt: number }>;
  /** When each credential came into being. */
  readonly madeAt: ReadonlyMap<string, number>;
  /** When each credential was removed. */
  readonly removedAt: ReadonlyMap<string, number>;
  /** The most that ever lived at once, by grant. */
  readonly mostLive: ReadonlyMap<string, number>;
  /** From whom it takes requests. */
  trust(issuer: string, keys: JSONWebKeySet): void;
}

export const SERVICE_AUDIENCE = 'https://credentials.acme.example';

export async function startService(target: string): Promise<TruthfulService> {
  const trusted = { url: '', keys: { keys: [] } as JSONWebKeySet };
  const madeAt = new Map<string, number>();
  const removedAt = new Map<string, number>();
  const grantOf = new Map<string, string>();
  const live = new Map<string, number>();
  const mostLive = new Map<string, number>();
  const webhook = await startFakeWebhook({
    issuer: {
      get url() {
        return trusted.url;
      },
      jwks: () => trusted.keys,
    },
    audience: SERVICE_AUDIENCE,
    subject: `hallpass:target:${target}`,
    path: '/hooks',
  });
  // Called in the same turn as what follows it, so what it foresees is what happens.
  webhook.before = (operation, body) => {
    if (webhook.requests.at(-1)?.body !== body) return undefined; // Not trusted.
    const name = String(body.name);
    const now = Date.now();
    const isThere = webhook.credentials.has(name);
    if (operation === '/mint' && !isThere && Date.parse(String(body.mint_before)) >= now) {
      madeAt.set(name, now);
      const { grant } = body.context as { grant: string };
      grantOf.set(name, grant);
      const count = (live.get(grant) ?? 0) + 1;
      live.set(grant, count);
      mostLive.set(grant, Math.max(mostLive.get(grant) ?? 0, count));
    }
    if (operation === '/end' && isThere) {
      removedAt.set(name, now);
      const grant = grantOf.get(name) ?? '';
      live.set(grant, (live.get(grant) ?? 0) - 1);
    }
    return undefined;
  };
  return {
    port: webhook.port,
    live: webhook.credentials,
    madeAt,
    removedAt,
    mostLive,
    trust(issuer, keys) {
      trusted.url = issuer;
      trusted.keys = keys;
    },
    [Symbol.asyncDispose]: () => webhook.stop(),
  };
}
