import { createPrivateKey, type KeyObject, randomUUID, sign as signRaw } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JSONWebKeySet, type JWK, SignJWT } from 'jose';

/** What the issuer's server does wrong. */
export type IssuerFault =
  | 'status-500'
  /** Accepts the request and never answers. */
  | 'hang'
  /** Sends a body without end. */
  | 'huge'
  /** Redirects to `redirectTo`, or to itself. */
  | 'redirect'
  | 'not-json'
  | 'wrong-issuer'
  /** Announces keys on another host. */
  | 'foreign-keys'
  | 'empty-keys';

export interface IssuerOptions {
  /** One key for each; ES256 without it. */
  algorithms?: readonly string[];
  /** The clock that stamps tokens, in milliseconds since the epoch; the real one without it. */
  now?: () => number;
  /** Serves https with this certificate. */
  tls?: { key: string; cert: string };
  /** The port to listen on; any free one without it. */
  port?: number;
}

interface SignOptions {
  /** The algorithm whose key signs; the first without it. */
  algorithm?: string;
  /** Members of the header to add or replace; `undefined` leaves one out. */
  header?: Record<string, unknown>;
}

export interface TestIssuer {
  /** The issuer identifier, without a slash at its end. */
  readonly url: string;
  /** `host:port`. */
  readonly host: string;
  /**
   * A signed token. Without claims of the test's own it is for audience `hallpass`, of subject `workload`, ten seconds
   * old, and good for ten minutes from its issue. A claim of `undefined` is left out.
   */
  sign(claims?: Record<string, unknown>, options?: SignOptions): Promise<string>;
  /** A token of exactly these bytes, signed with ES256, whatever they are. */
  signBytes(header: string | Uint8Array, payload: string | Uint8Array): string;
  /** The header that `sign` writes for ES256. */
  header(): Record<string, unknown>;
  /** The claims that `sign` writes when it is told nothing. */
  claims(): Record<string, unknown>;
  /** Makes new keys and signs with them; the old ones are published no more unless `keepOld`. */
  rotate(options?: { keepOld?: boolean }): Promise<void>;
  /** The public keys as published. */
  jwks(): JSONWebKeySet;
  /** Publishes something else instead. */
  publish(document: unknown): void;
  hits(): { discovery: number; keys: number };
  /** Does wrong from now on, in both documents or one; `null` ends it. */
  fail(fault: IssuerFault | null, where?: 'discovery' | 'keys'): void;
  /** Where the fault `redirect` leads. */
  redirectTo(url: string): void;
  close(): Promise<void>;
}

interface SigningKey {
  readonly algorithm: string;
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly keyObject: KeyObject;
  readonly publicJwk: JWK;
}

/** A real OIDC issuer on loopback: discovery, keys, tokens, and every fault an issuer's server can have. */
export async function startIssuer(options: IssuerOptions = {}): Promise<TestIssuer> {
  const algorithms = options.algorithms ?? ['ES256'];
  const now = options.now ?? Date.now;
  const hits = { discovery: 0, keys: 0 };
  let signing = await Promise.all(algorithms.map(createKey));
  let published = signing.map((key) => key.publicJwk);
  let instead: unknown;
  let fault: { kind: IssuerFault; where: 'discovery' | 'keys' | undefined } | null = null;
  let redirectTarget: string | undefined;

  const server: Server = options.tls
    ? createTlsServer(options.tls, (request, response) => answer(request, response))
    : createServer((request, response) => answer(request, response));
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const url = `${options.tls ? 'https' : 'http'}://${host}`;

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const where = request.url === '/.well-known/openid-configuration' ? 'discovery' : 'keys';
    hits[where]++;
    const kind = fault && (fault.where ?? where) === where ? fault.kind : null;
    if (kind === 'hang') return;
    if (kind === 'status-500') return void response.writeHead(500).end('{"keys":[]}');
    if (kind === 'not-json') return void response.end('<html>');
    if (kind === 'huge') {
      flood(response);
      return;
    }
    if (kind === 'redirect') {
      return void response.writeHead(302, { location: redirectTarget ?? `${url}/elsewhere` }).end();
    }
    response.setHeader('content-type', 'application/json');
    if (where === 'keys') {
      const keys = kind === 'empty-keys' ? [] : published;
      return void response.end(JSON.stringify(instead ?? { keys }));
    }
    response.end(
      JSON.stringify({
        issuer: kind === 'wrong-issuer' ? `${url}/other` : url,
        jwks_uri: kind === 'foreign-keys' ? 'https://keys.example.test/jwks' : `${url}/jwks`,
      }),
    );
  }

  function keyFor(algorithm: string | undefined): SigningKey {
    const key = signing.find((one) => one.algorithm === (algorithm ?? algorithms[0]));
    if (!key) throw new Error(`The issuer has no key for ${algorithm}`);
    return key;
  }

  function claims(): Record<string, unknown> {
    const iat = Math.floor(now() / 1000) - 10;
    return { iss: url, sub: 'workload', aud: 'hallpass', iat, exp: iat + 600, jti: randomUUID() };
  }

  return {
    url,
    host,
    claims,
    header: () => ({ alg: 'ES256', typ: 'JWT', kid: keyFor('ES256').kid }),
    sign: async (own = {}, { algorithm, header } = {}) => {
      const key = keyFor(algorithm);
      const full = { alg: key.algorithm, typ: 'JWT', kid: key.kid, ...header };
      return new SignJWT(withoutUndefined({ ...claims(), ...own }))
        .setProtectedHeader(withoutUndefined(full) as { alg: string })
        .sign(key.privateKey);
    },
    signBytes: (header, payload) => {
      const input = `${base64url(header)}.${base64url(payload)}`;
      const key = { key: keyFor('ES256').keyObject, dsaEncoding: 'ieee-p1363' as const };
      return `${input}.${base64url(signRaw('sha256', Buffer.from(input), key))}`;
    },
    rotate: async ({ keepOld = false } = {}) => {
      signing = await Promise.all(algorithms.map(createKey));
      published = [...(keepOld ? published : []), ...signing.map((key) => key.publicJwk)];
    },
    jwks: () => ({ keys: structuredClone(published) }),
    publish: (document) => {
      instead = document;
    },
    hits: () => ({ ...hits }),
    fail: (kind, where) => {
      fault = kind && { kind, where };
    },
    redirectTo: (target) => {
      redirectTarget = target;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function createKey(algorithm: string): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const kid = randomUUID();
  return {
    algorithm,
    kid,
    privateKey,
    keyObject: createPrivateKey({
      key: (await exportJWK(privateKey)) as Record<string, string>,
      format: 'jwk',
    }),
    publicJwk: { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' },
  };
}

/** Sends until the other side has had enough. */
function flood(response: ServerResponse): void {
  const piece = Buffer.alloc(65_536, ' ');
  const more = (): void => {
    while (!response.destroyed && response.write(piece));
  };
  response.on('drain', more);
  more();
}

function base64url(data: string | Uint8Array): string {
  return Buffer.from(data as string).toString('base64url');
}

function withoutUndefined(members: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
