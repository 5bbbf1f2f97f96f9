import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { evaluate, type PolicyDocument, type Statement } from './aws-policy.ts';
import { readSignature } from './aws-signature.ts';

/** Throwing `AwsFault` answers with an error of AWS; `'drop'` cuts the connection; a promise is waited for. */
export type AwsFaultHook = (action: string, phase: 'before' | 'after') => unknown;

export class AwsFault extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Record<string, string>;
  constructor(status: number, code: string, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

export interface FakeRole {
  readonly arn: string;
  readonly name: string;
  readonly id: string;
  readonly trust: PolicyDocument;
  readonly permissions: PolicyDocument;
  readonly inline: Map<string, string>;
}

export interface FakeSession {
  readonly accessKeyId: string;
  readonly secret: string;
  readonly token: string;
  readonly role: FakeRole;
  readonly name: string;
  readonly sourceIdentity: string | undefined;
  readonly policies: readonly PolicyDocument[];
  readonly tags: Readonly<Record<string, string>>;
  readonly issuedAt: number;
  readonly expiresAt: number;
}

interface User {
  readonly arn: string;
  readonly secret: string;
  readonly permissions: PolicyDocument;
}

/**
 * A strict fake of STS, IAM's inline role policies, S3's reading and writing and the sign-in endpoint, over a real
 * socket: signatures, trust policies, session policies and conditions are checked, and limits hold as AWS states
 * them. It is no AWS: what it knows is what the tests need.
 */
export interface FakeAws {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly url: string;
  readonly roles: Map<string, FakeRole>;
  readonly sessions: FakeSession[];
  readonly objects: Map<string, string>;
  readonly managed: Map<string, PolicyDocument>;
  /** Every action that arrived, with its parameters. */
  readonly calls: { readonly action: string; readonly parameters: Readonly<Record<string, string>> }[];
  fault: AwsFaultHook;
  /** The clock of AWS, in milliseconds since the epoch. */
  now: () => number;
  /** Characters that the inline policies of a role may have together. */
  inlineBudget: number;
  addUser(name: string, permissions: PolicyDocument): { accessKeyId: string; secretAccessKey: string };
  addRole(name: string, trust: Statement, permissions: PolicyDocument): FakeRole;
  /** Whether any session of this name may still do anything. */
  isLive(sessionName: string): boolean;
  close(): Promise<void>;
}

export const ACCOUNT = '123456789012';

export async function startFakeAws(): Promise<FakeAws> {
  const fake = new Fake();
  await fake.listen();
  return fake;
}

type Caller =
  | { readonly kind: 'user'; readonly user: User }
  | { readonly kind: 'session'; readonly session: FakeSession };

class Fake implements FakeAws {
  readonly host = '127.0.0.1';
  port = 0;
  readonly roles = new Map<string, FakeRole>();
  readonly users = new Map<string, User>();
  readonly sessions: FakeSession[] = [];
  readonly objects = new Map<string, string>();
  readonly managed = new Map<string, PolicyDocument>();
  readonly calls: { action: string; parameters: Record<string, string> }[] = [];
  fault: AwsFaultHook = () => {};
  now: () => number = Date.now;
  inlineBudget = 10_240;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  get url(): string {
    return `http://${this.host}:${this.port}`;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, this.host, resolve));
    this.port = (this.#server.address() as AddressInfo).port;
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  addUser(name: string, permissions: PolicyDocument) {
    const accessKeyId = keyId('AKIA');
    const secretAccessKey = randomBytes(30).toString('base64');
    const arn = `arn:aws:iam::${ACCOUNT}:user/${name}`;
    this.users.set(accessKeyId, { arn, secret: secretAccessKey, permissions });
    return { accessKeyId, secretAccessKey };
  }

  addRole(name: string, trust: Statement, permissions: PolicyDocument): FakeRole {
    const arn = `arn:aws:iam::${ACCOUNT}:role/${name}`;
    const role = {
      arn,
      name,
      id: keyId('AROA'),
      trust: { Statement: [trust] },
      permissions,
      inline: new Map(),
    };
    this.roles.set(arn, role);
    return role;
  }

  isLive(sessionName: string): boolean {
    return this.sessions.some(
      (session) =>
        session.name === sessionName &&
        session.expiresAt > this.now() &&
        evaluate(
          [...inlineOf(session.role), ...session.policies],
          this.#request(session, 's3:Probe', '*'),
        ) !== 'deny',
    );
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const url = new URL(request.url ?? '/', this.url);
    const form = new URLSearchParams(request.method === 'POST' ? body.toString() : '');
    const parameters = Object.fromEntries(form);
    const isFederation = url.pathname === '/federation';
    const action = isFederation
      ? 'signin:GetSigninToken'
      : (parameters.Action ?? s3Action(request.method, url));
    this.calls.push({ action, parameters });
    try {
      if ((await this.fault(action, 'before')) === 'drop') return void request.socket.destroy();
      const answer = isFederation
        ? this.#federate(url)
        : await this.#act(action, parameters, url, body, readSignature(request, body));
      if ((await this.fault(action, 'after')) === 'drop') return void request.socket.destroy();
      response.writeHead(200, { 'content-type': isFederation ? 'application/json' : 'text/xml' }).end(answer);
    } catch (error) {
      if (!(error instanceof AwsFault)) throw error;
      const { code, message, status, headers } = error;
      const inner = `<Code>${code}</Code><Message>${xml(message)}</Message>`;
      const isS3 = action.startsWith('s3:');
      const text = isS3
        ? `<Error>${inner}</Error>`
        : `<ErrorResponse><Error><Type>Sender</Type>${inner}</Error><RequestId>r</RequestId></ErrorResponse>`;
      response.writeHead(status, { 'content-type': 'text/xml', ...headers }).end(text);
    }
  }

  async #act(
    action: string,
    parameters: Record<string, string>,
    url: URL,
    body: Buffer,
    signed: ReturnType<typeof readSignature>,
  ): Promise<string> {
    if (action === 'AssumeRoleWithWebIdentity') return this.#assumeWithWebIdentity(parameters);
    if (!signed)
      throw new AwsFault(403, 'MissingAuthenticationToken', 'Request is missing Authentication Token');
    const caller = this.#authenticate(signed);
    switch (action) {
      case 'GetCallerIdentity': {
        const { arn, id } = identityOf(caller);
        return result(action, `<Arn>${arn}</Arn><UserId>${id}</UserId><Account>${ACCOUNT}</Account>`);
      }
      case 'AssumeRole':
        return this.#assumeRole(caller, parameters);
      case 'ListRolePolicies':
      case 'PutRolePolicy':
      case 'DeleteRolePolicy':
        return this.#rolePolicies(action, caller, parameters);
      default:
        return this.#s3(action, caller, url, body);
    }
  }

  #authenticate(signed: NonNullable<ReturnType<typeof readSignature>>): Caller {
    const user = this.users.get(signed.accessKeyId);
    const session = this.sessions.find((one) => one.accessKeyId === signed.accessKeyId);
    const secret = user?.secret ?? session?.secret;
    if (secret === undefined || signed.token !== session?.token)
      throw new AwsFault(
        403,
        'InvalidClientTokenId',
        'The security token included in the request is invalid',
      );
    if (!signed.verifies(secret))
      throw new AwsFault(
        403,
        'SignatureDoesNotMatch',
        `The signature does not match; token was ${signed.token}`,
      );
    if (session && session.expiresAt <= this.now())
      throw new AwsFault(403, 'ExpiredToken', 'The security token included in the request is expired');
    return user ? { kind: 'user', user } : { kind: 'session', session: session! };
  }

  #authorize(caller: Caller, action: string, resource: string): void {
    const context = { 'aws:currenttime': new Date(this.now()).toISOString() };
    const request =
      caller.kind === 'user'
        ? { action, resource, context }
        : this.#request(caller.session, action, resource);
    const own =
      caller.kind === 'user'
        ? [caller.user.permissions]
        : [caller.session.role.permissions, ...inlineOf(caller.session.role)];
    const bounds =
      caller.kind === 'session' && caller.session.policies.length > 0 ? caller.session.policies : null;
    const verdicts = [evaluate(own, request), ...(bounds ? [evaluate(bounds, request)] : [])];
    if (verdicts.every((verdict) => verdict === 'allow')) return;
    const why = verdicts.includes('deny') ? 'with an explicit deny' : 'because no policy allows it';
    throw new AwsFault(
      403,
      'AccessDenied',
      `User: ${identityOf(caller).arn} is not authorized to perform: ${action} on resource: ${resource} ${why}`,
    );
  }

  #request(session: FakeSession, action: string, resource: string) {
    return {
      action,
      resource,
      context: {
        'aws:currenttime': new Date(this.now()).toISOString(),
        'aws:tokenissuetime': new Date(session.issuedAt).toISOString(),
        'aws:userid': `${session.role.id}:${session.name}`,
        ...(session.sourceIdentity === undefined ? {} : { 'aws:sourceidentity': session.sourceIdentity }),
      },
    };
  }

  #assumeRole(caller: Caller, parameters: Record<string, string>): string {
    const arn = parameters.RoleArn ?? '';
    const tags = pairs(parameters, 'Tags');
    const needed = [
      'sts:AssumeRole',
      ...(Object.keys(tags).length > 0 ? ['sts:TagSession'] : []),
      ...(parameters.SourceIdentity === undefined ? [] : ['sts:SetSourceIdentity']),
    ];
    const role = this.roles.get(arn);
    for (const action of needed) {
      this.#authorize(caller, action, arn);
      const context = parameters.ExternalId === undefined ? {} : { 'sts:externalid': parameters.ExternalId };
      const trusted =
        role &&
        [role.trust.Statement]
          .flat()
          .some(({ Principal }) => Principal?.AWS === identityOf(caller).lasting) &&
        evaluate([role.trust], { action, resource: arn, context }) === 'allow';
      if (!trusted)
        throw new AwsFault(
          403,
          'AccessDenied',
          `User: ${identityOf(caller).arn} is not authorized to perform: ${action} on resource: ${arn}`,
        );
    }
    const isChained = caller.kind === 'session';
    return this.#issue(
      'AssumeRole',
      role!,
      parameters,
      tags,
      parameters.SourceIdentity,
      isChained ? 3600 : 43_200,
    );
  }

  async #assumeWithWebIdentity(parameters: Record<string, string>): Promise<string> {
    const role = this.roles.get(parameters.RoleArn ?? '');
    const [trust] = [role?.trust.Statement ?? []].flat() as Statement[];
    const host = trust?.Principal?.Federated?.replace(/^.*:oidc-provider\//, '');
    if (!role || !host)
      throw new AwsFault(403, 'AccessDenied', 'Not authorized to perform sts:AssumeRoleWithWebIdentity');
    const issuer = `http://${host}`;
    let claims: Record<string, unknown>;
    try {
      const configuration = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
      const { jwks_uri } = configuration as { jwks_uri: string };
      claims = (
        await jwtVerify(parameters.WebIdentityToken ?? '', createRemoteJWKSet(new URL(jwks_uri)), { issuer })
      ).payload;
    } catch (error) {
      throw new AwsFault(
        400,
        'InvalidIdentityToken',
        `Couldn't verify the token: ${(error as Error).message}`,
      );
    }
    const tagClaim = claims['https://aws.amazon.com/tags'] as
      | { principal_tags: Record<string, string[]> }
      | undefined;
    const tags = Object.fromEntries(
      Object.entries(tagClaim?.principal_tags ?? {}).map(([k, [v]]) => [k, v ?? '']),
    );
    const sourceIdentity = claims['https://aws.amazon.com/source_identity'] as string | undefined;
    const needed = [
      'sts:AssumeRoleWithWebIdentity',
      ...(tagClaim ? ['sts:TagSession'] : []),
      ...(sourceIdentity ? ['sts:SetSourceIdentity'] : []),
    ];
    const context = { [`${host}:aud`]: String(claims.aud), [`${host}:sub`]: String(claims.sub) };
    for (const action of needed) {
      if (evaluate([role.trust], { action, resource: role.arn, context }) !== 'allow')
        throw new AwsFault(403, 'AccessDenied', `Not authorized to perform ${action}`);
    }
    return this.#issue('AssumeRoleWithWebIdentity', role, parameters, tags, sourceIdentity, 43_200);
  }

  #issue(
    action: string,
    role: FakeRole,
    parameters: Record<string, string>,
    tags: Record<string, string>,
    sourceIdentity: string | undefined,
    longest: number,
  ): string {
    const { RoleSessionName: name = '', Policy: policy } = parameters;
    const duration = Number(parameters.DurationSeconds ?? 3600);
    const arns = Object.entries(parameters).flatMap(([key, value]) =>
      /^PolicyArns\.member\.\d+\.arn$/.test(key) ? [value] : [],
    );
    const invalid = (what: string) =>
      new AwsFault(400, 'ValidationError', `1 validation error detected: ${what}`);
    if (!/^[\w+=,.@-]{2,64}$/.test(name)) throw invalid('roleSessionName');
    if (sourceIdentity !== undefined && !/^[\w+=,.@-]{2,64}$/.test(sourceIdentity))
      throw invalid('sourceIdentity');
    if (!Number.isInteger(duration) || duration < 900 || duration > longest) throw invalid('durationSeconds');
    if ((policy?.length ?? 0) > 2048 || arns.length > 10 || Object.keys(tags).length > 50)
      throw invalid('policy');
    if (Object.entries(tags).some(([k, v]) => !isTag(k, 128) || !isTag(v, 256))) throw invalid('tags');
    const packed = Math.round(
      ((policy?.length ?? 0) + arns.join('').length + JSON.stringify(tags).length) / 22,
    );
    if (packed > 100)
      throw new AwsFault(400, 'PackedPolicyTooLarge', `Packed policy consumes ${packed}% of allotted space`);
    const issuedAt = Math.floor(this.now() / 1000) * 1000;
    const session: FakeSession = {
      accessKeyId: keyId('ASIA'),
      secret: randomBytes(30).toString('base64'),
      token: randomBytes(96).toString('base64'),
      role,
      name,
      sourceIdentity,
      policies: [...(policy ? [parsePolicy(policy)] : []), ...arns.map((arn) => this.managed.get(arn)!)],
      tags,
      issuedAt,
      expiresAt: issuedAt + duration * 1000,
    };
    this.sessions.push(session);
    const { accessKeyId, secret, token, expiresAt } = session;
    return result(
      action,
      `<Credentials><AccessKeyId>${accessKeyId}</AccessKeyId><SecretAccessKey>${secret}</SecretAccessKey>
       <SessionToken>${token}</SessionToken><Expiration>${new Date(expiresAt).toISOString()}</Expiration></Credentials>
       <AssumedRoleUser><AssumedRoleId>${role.id}:${name}</AssumedRoleId><Arn>${sessionArn(session)}</Arn></AssumedRoleUser>
       <PackedPolicySize>${packed}</PackedPolicySize>`,
    );
  }

  #rolePolicies(
    action: string,
    caller: Caller,
    { RoleName = '', PolicyName = '', PolicyDocument = '' }: Record<string, string>,
  ): string {
    const arn = `arn:aws:iam::${ACCOUNT}:role/${RoleName}`;
    this.#authorize(caller, `iam:${action}`, arn);
    const role = this.roles.get(arn);
    if (!role) throw new AwsFault(404, 'NoSuchEntity', `The role with name ${RoleName} cannot be found.`);
    if (action === 'ListRolePolicies') {
      const names = [...role.inline.keys()].sort().map((name) => `<member>${name}</member>`);
      return result(
        action,
        `<PolicyNames>${names.join('')}</PolicyNames><IsTruncated>false</IsTruncated>`,
        'iam',
      );
    }
    if (!/^[\w+=,.@-]{1,128}$/.test(PolicyName)) throw new AwsFault(400, 'ValidationError', 'policyName');
    if (action === 'DeleteRolePolicy') {
      if (!role.inline.delete(PolicyName))
        throw new AwsFault(404, 'NoSuchEntity', 'The role policy cannot be found.');
      return result(action, '', 'iam');
    }
    parsePolicy(PolicyDocument);
    const others = [...role.inline].filter(([name]) => name !== PolicyName).map(([, text]) => text);
    const size = [...others, PolicyDocument].join('').replace(/\s/g, '').length;
    if (size > this.inlineBudget)
      throw new AwsFault(
        409,
        'LimitExceeded',
        `Maximum policy size of ${this.inlineBudget} bytes exceeded for role ${RoleName}`,
      );
    role.inline.set(PolicyName, PolicyDocument);
    return result(action, '', 'iam');
  }

  #s3(action: string, caller: Caller, url: URL, body: Buffer): string {
    const path = decodeURIComponent(url.pathname.slice(1));
    this.#authorize(caller, action, `arn:aws:s3:::${path.replace(/\/$/, '')}`);
    if (action === 's3:PutObject') {
      this.objects.set(path, body.toString());
      return '';
    }
    const found = this.objects.get(path);
    if (found === undefined) throw new AwsFault(404, 'NoSuchKey', 'The specified key does not exist.');
    return found;
  }

  #federate(url: URL): string {
    const { sessionId, sessionToken } = JSON.parse(url.searchParams.get('Session') ?? '{}') as Record<
      string,
      string
    >;
    const session = this.sessions.find((one) => one.accessKeyId === sessionId && one.token === sessionToken);
    if (!session || url.searchParams.get('Action') !== 'getSigninToken')
      throw new AwsFault(400, 'InvalidSession', `Unknown session ${sessionToken}`);
    return JSON.stringify({ SigninToken: randomBytes(48).toString('base64url') });
  }
}

function s3Action(method: string | undefined, url: URL): string {
  if (method === 'PUT') return 's3:PutObject';
  return url.pathname.split('/').filter(Boolean).length > 1 ? 's3:GetObject' : 's3:ListBucket';
}

function inlineOf({ inline }: FakeRole): PolicyDocument[] {
  return [...inline.values()].map(parsePolicy);
}

function parsePolicy(text: string): PolicyDocument {
  try {
    return JSON.parse(text) as PolicyDocument;
  } catch {
    throw new AwsFault(400, 'MalformedPolicyDocument', 'This policy contains invalid Json');
  }
}

function sessionArn({ role, name }: FakeSession): string {
  return `arn:aws:sts::${ACCOUNT}:assumed-role/${role.name}/${name}`;
}

function identityOf(caller: Caller): { arn: string; id: string; lasting: string } {
  if (caller.kind === 'user') return { arn: caller.user.arn, id: 'AIDAUSER', lasting: caller.user.arn };
  const { session } = caller;
  return { arn: sessionArn(session), id: `${session.role.id}:${session.name}`, lasting: session.role.arn };
}

function pairs(parameters: Record<string, string>, list: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (let i = 1; parameters[`${list}.member.${i}.Key`] !== undefined; i++)
    found[parameters[`${list}.member.${i}.Key`]!] = parameters[`${list}.member.${i}.Value`] ?? '';
  return found;
}

function isTag(text: string, longest: number): boolean {
  return text.length <= longest && /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u.test(text);
}

function keyId(prefix: string): string {
  const digest = createHash('sha256').update(randomBytes(16)).digest('hex').toUpperCase();
  return `${prefix}${digest.slice(0, 16)}`;
}

function result(action: string, inner: string, service: 'sts' | 'iam' = 'sts'): string {
  const namespace =
    service === 'sts'
      ? 'https://sts.amazonaws.com/doc/2011-06-15/'
      : 'https://iam.amazonaws.com/doc/2010-05-08/';
  return `<${action}Response xmlns="${namespace}"><${action}Result>${inner}</${action}Result>
    <ResponseMetadata><RequestId>${randomBytes(8).toString('hex')}</RequestId></ResponseMetadata></${action}Response>`;
}

function xml(text: string): string {
  return text.replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`);
}
