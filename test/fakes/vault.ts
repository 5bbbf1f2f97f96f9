import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';

/**
 * A fake of Vault's HTTP API, over a real socket: tokens and token roles, policies that are enforced, leases that are
 * revoked in the background, the JWT, Kubernetes and AppRole logins, dynamic database users, PKI, SSH, KV, wrapping,
 * namespaces. It refuses what Vault refuses, in Vault's shapes, and can fail in every way. It is not Vault: what a real
 * one does otherwise, no test of ours sees.
 */
export interface FakeVault {
  readonly address: string;
  readonly port: number;
  readonly tokens: ReadonlyMap<string, FakeToken>;
  readonly leases: ReadonlyMap<string, FakeLease>;
  /** The database behind `database/creds/*`: passwords by user. */
  readonly users: ReadonlyMap<string, string>;
  /** Everything that was asked, in order. */
  readonly requests: readonly FakeRequest[];
  readonly secretId: string;
  readonly serviceAccountToken: string;
  /** Called before a request is served. What it answers is sent in place of serving it. */
  before: ((request: FakeRequest) => FakeAnswer | undefined) | null;
  /** Called after a request was served. What it answers is sent in place of the truth: it failed, but it was done. */
  after: ((request: FakeRequest) => FakeAnswer | undefined) | null;
  /** The database does not let its users be dropped: leases become irrevocable after six attempts. */
  databaseDown: boolean;
  /** How long revocation in the background takes. */
  revocationDelayMs: number;
  policy(name: string, rules: Readonly<Record<string, readonly string[]>>): void;
  tokenRole(name: string, role: TokenRole): void;
  /** A token of the operator's for these policies. */
  operatorToken(policies: readonly string[]): string;
  stop(): Promise<void>;
}

export interface FakeRequest {
  readonly method: string;
  /** Below `/v1/`. */
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly namespace: string;
}
export interface FakeAnswer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

export interface TokenRole {
  readonly allowed_policies: readonly string[];
  readonly orphan?: boolean;
  readonly token_no_default_policy?: boolean;
  readonly token_type?: 'service' | 'batch';
  readonly period?: number;
  readonly max_ttl?: number;
}

export interface FakeToken {
  readonly id: string;
  readonly accessor: string;
  readonly policies: readonly string[];
  readonly meta: Readonly<Record<string, string>>;
  readonly displayName: string;
  readonly parent: string | null;
  readonly expiresAt: number;
}

export interface FakeLease {
  readonly id: string;
  readonly token: string;
  readonly user: string | null;
  readonly expiresAt: number;
  attempts: number;
}

export interface FakeVaultOptions {
  readonly namespace?: string;
  /** The issuer that the JWT login trusts. Each of its roles is bound to the subject of a target of that name. */
  readonly jwt?: { readonly jwks: () => JSONWebKeySet; readonly issuer: string };
}

const MAX_REVOKE_ATTEMPTS = 6;

export async function startFakeVault(options: FakeVaultOptions = {}): Promise<FakeVault> {
  const vault = new Fake(options);
  await vault.listen();
  return vault;
}

class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const denied = () => new Refused(403, '1 error occurred:\n\t* permission denied\n\n');

class Fake implements FakeVault {
  port = 0;
  readonly tokens = new Map<string, FakeToken>();
  readonly leases = new Map<string, FakeLease>();
  readonly users = new Map<string, string>();
  readonly requests: FakeRequest[] = [];
  readonly secretId = randomUUID();
  readonly serviceAccountToken = randomBytes(60).toString('base64url');
  before: FakeVault['before'] = null;
  after: FakeVault['after'] = null;
  databaseDown = false;
  revocationDelayMs = 0;
  readonly #policies = new Map<string, Readonly<Record<string, readonly string[]>>>();
  readonly #roles = new Map<string, TokenRole>();
  readonly #wrapped = new Map<string, unknown>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #server: Server;
  readonly #namespace: string;
  readonly #jwt: FakeVaultOptions['jwt'];

  constructor({ namespace = '', jwt }: FakeVaultOptions) {
    this.#namespace = namespace;
    this.#jwt = jwt;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  get address(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  policy(name: string, rules: Readonly<Record<string, readonly string[]>>): void {
    this.#policies.set(name, rules);
  }

  tokenRole(name: string, role: TokenRole): void {
    this.#roles.set(name, role);
  }

  operatorToken(policies: readonly string[]): string {
    return this.#makeToken({ policies, ttl: 3600, parent: null, meta: {}, displayName: 'operator' }).id;
  }

  async #answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const url = new URL(incoming.url ?? '/', this.address);
    const text = Buffer.concat(chunks).toString();
    const request: FakeRequest = {
      method: incoming.method ?? 'GET',
      path: decodeURIComponent(url.pathname.replace(/^\/v1\//, '')),
      body: text === '' ? {} : JSON.parse(text),
      namespace: String(incoming.headers['x-vault-namespace'] ?? ''),
    };
    this.requests.push(request);
    let answer: FakeAnswer | undefined = this.before?.(request);
    if (answer === undefined) {
      try {
        answer = await this.#serve(request, incoming.headers);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        answer = { status: error.status, body: { errors: error.message === '' ? [] : [error.message] } };
      }
      answer = this.after?.(request) ?? answer;
    }
    const { status, body, headers = {} } = answer;
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(status === 204 || body === undefined ? '' : JSON.stringify(body));
  }

  async #serve(request: FakeRequest, headers: IncomingMessage['headers']): Promise<FakeAnswer> {
    this.#expire();
    if (request.namespace !== this.#namespace) throw new Refused(404, 'no handler for route');
    if (/^auth\/[^/]+\/login$/.test(request.path)) return this.#login(request);
    if (request.path === 'sys/wrapping/unwrap') return this.#unwrap(String(headers['x-vault-token'] ?? ''));
    const token = this.tokens.get(String(headers['x-vault-token'] ?? ''));
    if (token === undefined) throw denied();
    const capability = request.method === 'GET' ? 'read' : 'update';
    if (request.path !== 'sys/capabilities-self' && !this.#may(token, request.path, capability))
      throw denied();
    return this.#route(request, token, headers);
  }

  #route(
    { path, body, method }: FakeRequest,
    token: FakeToken,
    headers: IncomingMessage['headers'],
  ): FakeAnswer {
    const [first, second, third] = path.split('/');
    if (path.startsWith('auth/token/create/')) return this.#create(path.slice(18), body, token);
    if (path === 'auth/token/revoke-accessor') return this.#revokeAccessor(body);
    if (path === 'auth/token/lookup-accessor') {
      const { id: _, ...found } = this.#byAccessor(body);
      return { status: 200, body: { data: { ...found, id: '', display_name: found.displayName } } };
    }
    if (path === 'sys/leases/lookup') {
      const lease = this.#lease(body);
      return {
        status: 200,
        body: { data: { id: lease.id, expire_time: new Date(lease.expiresAt).toISOString() } },
      };
    }
    if (path === 'sys/leases/revoke') {
      const lease = this.#lease(body);
      if (!this.#tryRevoke(lease))
        throw new Refused(500, 'failed to revoke entry: the database does not answer');
      return { status: 204 };
    }
    if (path === 'sys/wrapping/wrap') return this.#wrap(body, String(headers['x-vault-wrap-ttl'] ?? '300s'));
    if (path === 'sys/capabilities-self') return this.#capabilities(body, token);
    if (first === 'database' && second === 'creds' && method === 'GET')
      return this.#databaseUser(String(third), token);
    if (first === 'pki' && second === 'issue' && method !== 'GET') return certificate(body);
    if (first === 'ssh' && second === 'sign' && method !== 'GET') {
      if (typeof body.public_key !== 'string') throw new Refused(400, 'missing public_key');
      return {
        status: 200,
        body: { lease_id: '', data: { serial_number: '1', signed_key: `signed ${body.ttl}` } },
      };
    }
    if (first === 'secret' && second === 'data')
      return {
        status: 200,
        body: { lease_id: '', data: { data: { api_key: this.secretId }, metadata: {} } },
      };
    throw new Refused(404, '');
  }

  #create(role: string, body: FakeRequest['body'], token: FakeToken): FakeAnswer {
    const settings = this.#roles.get(role);
    if (settings === undefined) throw new Refused(400, `unknown role ${role}`);
    const asked = (body.policies ?? settings.allowed_policies) as string[];
    const forbidden = asked.find((policy) => !settings.allowed_policies.includes(policy));
    if (forbidden !== undefined)
      throw new Refused(400, `token policies ([${asked}]) must be subset of the role's allowed policies`);
    const ttl = Math.min(seconds(body.ttl) ?? 2_764_800, settings.max_ttl ?? Number.POSITIVE_INFINITY);
    const policies = [
      ...asked,
      ...(body.no_default_policy || settings.token_no_default_policy ? [] : ['default']),
    ];
    const orphan = settings.orphan ?? false;
    const made = this.#makeToken({
      policies,
      ttl: settings.period ?? ttl,
      parent: orphan ? null : token.id,
      meta: (body.meta ?? {}) as Record<string, string>,
      displayName: `token-${String(body.display_name)}`,
    });
    return { status: 200, body: { auth: authOf(made, settings.period ?? ttl, orphan, settings.token_type) } };
  }

  #makeToken(over: {
    policies: readonly string[];
    ttl: number;
    parent: string | null;
    meta: Record<string, string>;
    displayName: string;
  }): FakeToken {
    const { policies, ttl, parent, meta, displayName } = over;
    const token: FakeToken = {
      id: `hvs.${randomBytes(60).toString('base64url')}`,
      accessor: randomBytes(16).toString('base64url'),
      policies,
      meta,
      displayName,
      parent,
      expiresAt: Date.now() + ttl * 1000,
    };
    this.tokens.set(token.id, token);
    return token;
  }

  #byAccessor(body: FakeRequest['body']): FakeToken {
    const token = [...this.tokens.values()].find(({ accessor }) => accessor === body.accessor);
    if (token === undefined) throw new Refused(403, '1 error occurred:\n\t* invalid accessor\n\n');
    return token;
  }

  #revokeAccessor(body: FakeRequest['body']): FakeAnswer {
    this.#revokeTree(this.#byAccessor(body));
    return { status: 204 };
  }

  #revokeTree(token: FakeToken): void {
    this.tokens.delete(token.id);
    for (const child of [...this.tokens.values()]) if (child.parent === token.id) this.#revokeTree(child);
    for (const lease of [...this.leases.values()]) {
      if (lease.token === token.id) this.#revokeInBackground(lease);
    }
  }

  #revokeInBackground(lease: FakeLease): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#tryRevoke(lease) && lease.attempts < MAX_REVOKE_ATTEMPTS) this.#revokeInBackground(lease);
    }, this.revocationDelayMs);
    this.#timers.add(timer);
  }

  #tryRevoke(lease: FakeLease): boolean {
    if (this.databaseDown) {
      lease.attempts++;
      return false;
    }
    if (lease.user !== null) this.users.delete(lease.user);
    this.leases.delete(lease.id);
    return true;
  }

  #lease(body: FakeRequest['body']): FakeLease {
    const lease = this.leases.get(String(body.lease_id));
    if (lease === undefined) throw new Refused(400, 'invalid lease');
    return lease;
  }

  #databaseUser(role: string, token: FakeToken): FakeAnswer {
    if (this.databaseDown) throw new Refused(500, '1 error occurred:\n\t* the database does not answer\n\n');
    const username = `v-${role}-${randomBytes(10).toString('hex')}`;
    const password = randomBytes(24).toString('base64url');
    this.users.set(username, password);
    const id = `database/creds/${role}/${randomBytes(12).toString('base64url')}`;
    const ttl = 1800;
    this.leases.set(id, {
      id,
      token: token.id,
      user: username,
      expiresAt: Date.now() + ttl * 1000,
      attempts: 0,
    });
    return {
      status: 200,
      body: { lease_id: id, lease_duration: ttl, renewable: true, data: { username, password } },
    };
  }

  #wrap(body: FakeRequest['body'], ttl: string): FakeAnswer {
    const token = `hvs.${randomBytes(60).toString('base64url')}`;
    this.#wrapped.set(token, body);
    return { status: 200, body: { wrap_info: { token, ttl: seconds(ttl), accessor: randomUUID() } } };
  }

  #unwrap(token: string): FakeAnswer {
    const data = this.#wrapped.get(token);
    if (data === undefined) throw new Refused(400, 'wrapping token is not valid or does not exist');
    this.#wrapped.delete(token);
    return { status: 200, body: { data } };
  }

  #capabilities(body: FakeRequest['body'], token: FakeToken): FakeAnswer {
    const paths = body.paths as string[];
    const data = Object.fromEntries(
      paths.map((path) => [path, this.#may(token, path, 'update') ? ['update'] : ['deny']]),
    );
    return { status: 200, body: { data } };
  }

  #may(token: FakeToken, path: string, capability: string): boolean {
    return token.policies.some((name) =>
      Object.entries(this.#policies.get(name) ?? {}).some(
        ([rule, capabilities]) =>
          (rule.endsWith('*') ? path.startsWith(rule.slice(0, -1)) : path === rule) &&
          capabilities.includes(capability),
      ),
    );
  }

  async #login({ path, body }: FakeRequest): Promise<FakeAnswer> {
    const mount = path.split('/')[1];
    const role = String(body.role ?? '');
    const fits =
      mount === 'approle'
        ? body.secret_id === this.secretId
        : mount === 'kubernetes'
          ? body.jwt === this.serviceAccountToken
          : await this.#verifyJwt(String(body.jwt), role);
    if (!fits) throw new Refused(mount === 'approle' ? 400 : 403, 'invalid role or credentials');
    const policies = mount === 'approle' ? [String(body.role_id)] : [role];
    const token = this.#makeToken({
      policies,
      ttl: 3600,
      parent: null,
      meta: { role },
      displayName: String(mount),
    });
    return { status: 200, body: { auth: authOf(token, 3600, true) } };
  }

  async #verifyJwt(jwt: string, role: string): Promise<boolean> {
    if (this.#jwt === undefined) return false;
    try {
      const keys = createLocalJWKSet(this.#jwt.jwks());
      const { payload } = await jwtVerify(jwt, keys, { issuer: this.#jwt.issuer, audience: this.address });
      return payload.sub === `hallpass:target:${role}`;
    } catch {
      return false;
    }
  }

  #expire(): void {
    const now = Date.now();
    for (const token of [...this.tokens.values()]) if (token.expiresAt <= now) this.#revokeTree(token);
  }
}

function authOf(token: FakeToken, ttl: number, orphan: boolean, type: 'service' | 'batch' = 'service') {
  return {
    client_token: token.id,
    accessor: token.accessor,
    policies: token.policies,
    token_policies: token.policies,
    metadata: token.meta,
    lease_duration: ttl,
    renewable: false,
    token_type: type,
    orphan,
  };
}

function certificate(body: FakeRequest['body']): FakeAnswer {
  if (typeof body.common_name !== 'string') throw new Refused(400, 'the common_name field is required');
  const expiration = Math.floor(Date.now() / 1000) + (seconds(body.ttl) ?? 0);
  const private_key = randomBytes(40).toString('base64');
  return { status: 200, body: { lease_id: '', data: { certificate: 'PEM', private_key, expiration } } };
}

function seconds(text: unknown): number | null {
  const match = /^(\d+)s$/.exec(String(text ?? ''));
  return match === null ? null : Number(match[1]);
}
