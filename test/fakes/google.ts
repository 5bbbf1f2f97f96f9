import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify, SignJWT } from 'jose';

/**
 * A fake of Google's Security Token Service, its IAM Service Account Credentials API (REST) and a little of Cloud
 * Storage, over real sockets. It verifies the broker's JWT as a workload identity provider does, knows who may make
 * tokens for whom, and refuses what Google refuses, in Google's shapes. It is not Google: what Google does otherwise, no
 * test of ours sees.
 */
export interface FakeGoogle {
  readonly address: string;
  readonly port: number;
  readonly workloadIdentityProvider: string;
  /** Access and ID tokens that were made, with the reason that the request gave. */
  readonly made: readonly FakeGoogleToken[];
  /** Exchanges of a broker's JWT for a federated token. */
  exchanges: number;
  /** Lets a subject of the pool, or a service account, make tokens for another account. */
  allow(who: string, account: string): void;
  /** Accounts whose organisation policy allows tokens of 12 hours. */
  readonly extended: Set<string>;
  /** Called before a request is served. What it answers is sent in place of serving it. */
  before: ((path: string) => { readonly status: number; readonly body: unknown } | undefined) | null;
  /** Whether a token may read an object, as Cloud Storage would say. */
  mayRead(token: string, bucket: string): boolean;
  stop(): Promise<void>;
}

export interface FakeGoogleToken {
  readonly token: string;
  readonly account: string;
  readonly scopes: readonly string[];
  readonly expiresAt: number;
  readonly reason: string;
  readonly boundary: readonly string[] | null;
}

const PROVIDER = 'projects/123456789/locations/global/workloadIdentityPools/hallpass/providers/broker';

class Refused extends Error {
  readonly status: number;
  readonly body: unknown;
  constructor(status: number, body: unknown) {
    super('refused');
    this.status = status;
    this.body = body;
  }
}

export async function startFakeGoogle(issuer: {
  readonly url: string;
  jwks(): JSONWebKeySet;
}): Promise<FakeGoogle> {
  const made: FakeGoogleToken[] = [];
  const federated = new Map<string, string>();
  const bindings = new Set<string>();
  const key = randomBytes(32);
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  const google: FakeGoogle = {
    address: `http://127.0.0.1:${port}`,
    port,
    workloadIdentityProvider: PROVIDER,
    made,
    exchanges: 0,
    extended: new Set(),
    before: null,
    allow: (who, account) => void bindings.add(`${who} ${account}`),
    mayRead(token, bucket) {
      const known = made.find((one) => one.token === token);
      if (known === undefined || known.expiresAt <= Date.now()) return false;
      return (
        known.boundary === null ||
        known.boundary.includes(`//storage.googleapis.com/projects/_/buckets/${bucket}`)
      );
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const path = decodeURIComponent(new URL(request.url ?? '/', google.address).pathname);
    let result = google.before?.(path);
    try {
      result ??= { status: 200, body: await serve(path, text, request.headers) };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      result = { status: error.status, body: error.body };
    }
    response.writeHead(result.status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(result.body));
  }

  async function serve(path: string, text: string, headers: IncomingMessage['headers']): Promise<unknown> {
    if (path === '/v1/token') return exchange(new URLSearchParams(text));
    const match = /^\/v1\/projects\/-\/serviceAccounts\/([^:]+):(generateAccessToken|generateIdToken)$/.exec(
      path,
    );
    if (match === null) throw rpc(404, 5, 'NOT_FOUND', 'no such method');
    const [, account = '', method] = match;
    const caller = federated.get(/^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1] ?? '');
    if (caller === undefined)
      throw rpc(401, 16, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.');
    const body = JSON.parse(text) as Record<string, never>;
    checkChain(caller, (body.delegates ?? []) as string[], account);
    const reason = String(headers['x-goog-request-reason'] ?? '');
    return method === 'generateIdToken' ? idToken(account, body, reason) : accessToken(account, body, reason);
  }

  function checkChain(caller: string, delegates: string[], account: string): void {
    let who = caller;
    for (const next of [
      ...delegates.map((name) => name.replace('projects/-/serviceAccounts/', '')),
      account,
    ]) {
      if (!bindings.has(`${who} ${next}`))
        throw rpc(
          403,
          7,
          'PERMISSION_DENIED',
          "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
        );
      who = next;
    }
  }

  function accessToken(account: string, body: Record<string, never>, reason: string) {
    const scopes = (body.scope ?? []) as string[];
    const seconds = Number(/^(\d+)s$/.exec(String(body.lifetime ?? '3600s'))?.[1]);
    if (scopes.length === 0) throw rpc(400, 3, 'INVALID_ARGUMENT', 'Scope required.');
    if (!(seconds > 0 && seconds <= (google.extended.has(account) ? 43_200 : 3_600)))
      throw rpc(400, 3, 'INVALID_ARGUMENT', 'The access token lifetime cannot exceed 3600 seconds.');
    const expiresAt = Math.floor(Date.now() / 1000 + seconds) * 1000;
    const token = `ya29.c.${randomBytes(120).toString('base64url')}`;
    made.push({ token, account, scopes, expiresAt, reason, boundary: null });
    return { accessToken: token, expireTime: new Date(expiresAt).toISOString().replace('.000Z', 'Z') };
  }

  async function idToken(account: string, body: Record<string, never>, reason: string) {
    const exp = Math.floor(Date.now() / 1000) + 3600;
    const claims = {
      aud: String(body.audience),
      sub: account,
      ...(body.includeEmail ? { email: account } : {}),
    };
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256' })
      .setExpirationTime(exp)
      .sign(key);
    made.push({ token, account, scopes: [], expiresAt: exp * 1000, reason, boundary: null });
    return { token };
  }

  async function exchange(form: URLSearchParams): Promise<unknown> {
    if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:token-exchange')
      throw oauth('invalid_request');
    const subject = form.get('subject_token') ?? '';
    if (form.get('subject_token_type') === 'urn:ietf:params:oauth:token-type:access_token')
      return downscope(subject, form);
    if (form.get('audience') !== `//iam.googleapis.com/${PROVIDER}`) throw oauth('invalid_target');
    google.exchanges++;
    const keys = createLocalJWKSet(issuer.jwks());
    const audience = `https://iam.googleapis.com/${PROVIDER}`;
    const verified = await jwtVerify(subject, keys, { issuer: issuer.url, audience }).catch(() => {
      throw oauth('invalid_grant');
    });
    const token = `ya29.d.${randomBytes(80).toString('base64url')}`;
    federated.set(token, String(verified.payload.sub));
    return {
      access_token: token,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: 3600,
    };
  }

  function downscope(subject: string, form: URLSearchParams): unknown {
    const source = made.find((one) => one.token === subject);
    if (source === undefined) throw oauth('invalid_grant');
    const { accessBoundary } = JSON.parse(form.get('options') ?? '{}');
    const rules = accessBoundary?.accessBoundaryRules as { availableResource: string }[] | undefined;
    if (!rules || rules.length === 0 || rules.length > 10) throw oauth('invalid_request');
    const token = `ya29.dr.${randomBytes(120).toString('base64url')}`;
    made.push({ ...source, token, boundary: rules.map((rule) => rule.availableResource) });
    return {
      access_token: token,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
    };
  }

  return google;
}

function rpc(status: number, code: number, name: string, message: string): Refused {
  return new Refused(status, { error: { code: status, message, status: name, details: [] }, rpc: code });
}

function oauth(error: string): Refused {
  return new Refused(400, { error, error_description: 'The request is not acceptable.' });
}
