import type { IncomingMessage } from 'node:http';
import type { Credential } from '../../client/task.ts';
import { isLocal, isSame, peerUser } from './access.ts';
import { awsContainer, googleToken, isAws, isGoogle, pick } from './shapes.ts';

/** An answer: its body is JSON unless it is text. */
export interface Answer {
  readonly status: number;
  readonly body: object | string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What the endpoints know. */
export interface Endpoint {
  /** What `Authorization` or the subject token must be. */
  readonly token: string;
  readonly now: () => number;
  credentials(): Promise<readonly Credential[]>;
}

const MAX_BODY_BYTES = 16_384;

/** Serves AWS SDKs and Google's libraries on loopback. Each request proves that it may read our token file. */
export async function answerLoopback(
  request: IncomingMessage,
  port: number,
  endpoint: Endpoint,
): Promise<Answer> {
  if (!isLocal(request, port)) return refuse('This endpoint serves programs of this machine alone');
  const url = new URL(request.url ?? '/', 'http://localhost');
  const [, place = '', name] = url.pathname.split('/').map(decodeURIComponent);
  if (place === 'aws' && request.method === 'GET') return answerAws(request, endpoint, name || undefined);
  if (url.pathname === '/google/token' && request.method === 'POST') return answerSts(request, endpoint);
  return { status: 404, body: { error: 'not_found' } };
}

async function answerAws(
  request: IncomingMessage,
  endpoint: Endpoint,
  name: string | undefined,
): Promise<Answer> {
  if (!isSame(request.headers.authorization, endpoint.token))
    return { status: 403, body: { Code: 'AccessDenied', Message: 'The authorization token is not ours' } };
  const credential = pick(await endpoint.credentials(), isAws, name);
  if (credential) return { status: 200, body: awsContainer(credential) };
  return { status: 404, body: { Code: 'NotFound', Message: 'There is no such AWS credential, or several' } };
}

/** RFC 8693, as Google's libraries ask at a `token_url`: our token is the subject token, and the answer is the access token. */
async function answerSts(request: IncomingMessage, endpoint: Endpoint): Promise<Answer> {
  const body = await readBody(request);
  if (body === null) return { status: 413, body: { error: 'invalid_request' } };
  const form = new URLSearchParams(body);
  if (!isSame(form.get('subject_token') ?? undefined, endpoint.token))
    return {
      status: 401,
      body: { error: 'invalid_client', error_description: 'The subject token is not ours' },
    };
  if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:token-exchange')
    return { status: 400, body: { error: 'unsupported_grant_type' } };
  const credential = pick(await endpoint.credentials(), isGoogle);
  if (!credential) return { status: 400, body: { error: 'invalid_target' } };
  return {
    status: 200,
    body: {
      ...googleToken(credential, endpoint.now()),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    },
  };
}

const FLAVOR = { 'metadata-flavor': 'Google' };

/**
 * The metadata server of Compute Engine, as far as its tokens go. The protocol has no place for a proof, so the kernel
 * says whose connection it is: ours, or no answer.
 */
export async function answerMetadata(
  request: IncomingMessage,
  port: number,
  endpoint: Endpoint,
  user: number,
): Promise<Answer> {
  if (!isLocal(request, port)) return refuse('This endpoint serves programs of this machine alone');
  if (peerUser(request.socket.remotePort, port) !== user)
    return refuse('This endpoint serves its own user alone');
  if (request.headers['metadata-flavor'] !== 'Google') return refuse('Metadata-Flavor: Google is missing');
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
  if (request.method !== 'GET') return { status: 405, body: '', headers: FLAVOR };
  const place = pathname.replace(/^\/computeMetadata\/v1(\/|$)/, '').replace(/\/$/, '');
  const credential = pick(await endpoint.credentials(), isGoogle);
  const email = credential?.secret.values.service_account ?? 'default';
  const found = metadataOf(place, searchParams.get('recursive') === 'true', email);
  if (
    place === 'instance/service-accounts/default/token' ||
    place === `instance/service-accounts/${email}/token`
  )
    return credential
      ? { status: 200, body: googleToken(credential, endpoint.now()), headers: FLAVOR }
      : { status: 404, body: '', headers: FLAVOR };
  return found === null
    ? { status: 404, body: '', headers: FLAVOR }
    : { status: 200, body: found, headers: FLAVOR };
}

function metadataOf(place: string, recursive: boolean, email: string): object | string | null {
  const account = { aliases: ['default'], email, scopes: ['https://www.googleapis.com/auth/cloud-platform'] };
  switch (place) {
    case '':
    case 'instance':
      return 'service-accounts/\n';
    case 'instance/service-accounts':
      return recursive ? { default: account, [email]: account } : `default/\n${email}/\n`;
    case 'instance/service-accounts/default':
    case `instance/service-accounts/${email}`:
      return recursive ? account : 'aliases\nemail\nscopes\ntoken\n';
    case 'instance/service-accounts/default/email':
      return email;
    case 'instance/service-accounts/default/scopes':
      return `${account.scopes[0]}\n`;
    case 'project/project-id':
      return /@([\w-]+)\.iam\.gserviceaccount\.com$/.exec(email)?.[1] ?? null;
    case 'universe/universe-domain':
      return 'googleapis.com';
    default:
      return null;
  }
}

/** Serves helpers on the socket, which only our user can open. */
export async function answerSocket(request: IncomingMessage, endpoint: Endpoint): Promise<Answer> {
  const [, version, place, name] =
    (request.url ?? '/').split('?')[0]?.split('/').map(decodeURIComponent) ?? [];
  if (request.method !== 'GET' || version !== 'v1' || place !== 'credentials')
    return { status: 404, body: { error: 'There is GET /v1/credentials and GET /v1/credentials/{name}' } };
  const credentials = await endpoint.credentials();
  if (name === undefined || name === '') return { status: 200, body: { credentials } };
  const credential = credentials.find((one) => one.name === name);
  return credential
    ? { status: 200, body: { credential } }
    : { status: 404, body: { error: `There is no credential "${name}"` } };
}

function refuse(error: string): Answer {
  return { status: 403, body: { error } };
}

async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
