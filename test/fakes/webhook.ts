import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';

/**
 * A credential service that speaks the protocol of providers/http, as strictly as its page asks: every request is
 * verified, a token is taken once, a name is used once, and nothing is made after its window. A fake, on a real socket.
 */
export interface FakeWebhook {
  readonly url: string;
  readonly port: number;
  readonly credentials: ReadonlyMap<
    string,
    { readonly key: string; readonly expiresAt: number; readonly scope: unknown }
  >;
  readonly requests: readonly { readonly path: string; readonly body: Readonly<Record<string, unknown>> }[];
  before:
    | ((
        path: string,
        body: Readonly<Record<string, unknown>>,
      ) => { status: number; body: unknown } | undefined)
    | null;
  add(name: string): void;
  stop(): Promise<void>;
}

export interface FakeWebhookOptions {
  readonly issuer: { readonly url: string; jwks(): JSONWebKeySet };
  readonly audience: string;
  readonly subject: string;
  /** Below the address; for instance `/hooks`. */
  readonly path?: string;
}

export async function startFakeWebhook(options: FakeWebhookOptions): Promise<FakeWebhook> {
  const { issuer, audience, subject, path = '' } = options;
  const credentials = new Map<string, { key: string; expiresAt: number; scope: unknown }>();
  const seen = new Set<string>();
  const requests: { path: string; body: Record<string, unknown> }[] = [];
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const fake: FakeWebhook = {
    url: `http://127.0.0.1:${port}${path}`,
    port,
    credentials,
    requests,
    before: null,
    add: (name) =>
      void credentials.set(name, { key: randomBytes(24).toString('hex'), expiresAt: Infinity, scope: {} }),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const operation = (request.url ?? '').slice(path.length);
    const refusal = await refusalOf(request, text);
    const body = JSON.parse(text) as Record<string, unknown>;
    if (refusal === null) requests.push({ path: operation, body });
    const { status, body: said } = fake.before?.(operation, body) ?? refusal ?? serve(operation, body);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof said === 'string' ? said : JSON.stringify(said));
  }

  /** What is answered to a request that is not served, or null. */
  async function refusalOf(
    request: IncomingMessage,
    text: string,
  ): Promise<{ status: number; body: unknown } | null> {
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const untrusted = { status: 401, body: { error: 'not trusted' } };
    try {
      const keys = createLocalJWKSet(issuer.jwks());
      const { payload } = await jwtVerify(token, keys, { issuer: issuer.url, audience, subject });
      const hash = createHash('sha256').update(text).digest('base64url');
      const url = new URL(String(payload.htu));
      if (payload.htm !== 'POST' || url.pathname !== request.url || payload.body_sha256 !== hash)
        return untrusted;
      // The very same request again: it may have been served when it came first.
      if (seen.has(String(payload.jti))) return { status: 409, body: { error: 'seen before' } };
      seen.add(String(payload.jti));
      return null;
    } catch {
      return untrusted;
    }
  }

  function serve(operation: string, body: Record<string, unknown>): { status: number; body: unknown } {
    const name = String(body.name);
    const known = credentials.get(name);
    if (operation === '/mint') {
      if (Date.parse(String(body.mint_before)) < Date.now())
        return { status: 400, body: { error: 'too late' } };
      if (known) return { status: 409, body: { error: 'the name is taken' } };
      const expiresAt = Date.parse(String(body.expires_at));
      const key = randomBytes(24).toString('hex');
      credentials.set(name, { key, expiresAt, scope: body.scope });
      const values = { api_key: key, id: name };
      return {
        status: 200,
        body: { secret: { values, open: ['id'] }, handle: { id: name }, expires_at: new Date(expiresAt) },
      };
    }
    if (operation === '/end') {
      const found = credentials.delete(name);
      return { status: 200, body: { ended: true, found, evidence: { deleted: found } } };
    }
    if (operation === '/extend') {
      if (!known) return { status: 404, body: { error: 'no such credential' } };
      known.expiresAt = Date.parse(String(body.expires_at));
      return { status: 200, body: { expires_at: new Date(known.expiresAt) } };
    }
    if (operation === '/list') {
      const all = [...credentials.keys()];
      const from = Number(body.cursor ?? 0);
      const cursor = from + 7 < all.length ? String(from + 7) : null;
      return { status: 200, body: { names: all.slice(from, from + 7), cursor } };
    }
    return { status: 404, body: { error: 'no such operation' } };
  }

  return fake;
}
