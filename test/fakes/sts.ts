import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Somebody whom the fake knows. */
export interface FakeCaller {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly arn: string;
  readonly userId: string;
  readonly account: string;
}

export type StsFault =
  | 'hang'
  | 'status-500'
  | 'throttle'
  | 'huge'
  | 'redirect'
  | 'not-xml'
  | 'doctype'
  | 'two-arns';

/**
 * A fake of STS, as strict as its documentation: it knows GetCallerIdentity alone, and checks each signature itself, by
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
 */
export async function startFakeSts(callers: readonly FakeCaller[], now: () => number) {
  let fault: StsFault | null = null;
  let hits = 0;
  const server = createServer(async (request, response) => {
    hits++;
    const body = await text(request);
    if (fault === 'hang') return;
    if (fault === 'status-500') return void response.writeHead(500).end();
    if (fault === 'throttle') return void response.writeHead(429).end();
    if (fault === 'redirect') return void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
    if (fault === 'huge') return void response.end('x'.repeat(1_000_000));
    if (fault === 'not-xml') return void response.end('<Get');
    const caller = whoSigned(request, body, callers, now());
    if (typeof caller === 'string') {
      const xml = `<ErrorResponse><Error><Type>Sender</Type><Code>${caller}</Code></Error></ErrorResponse>`;
      return void response.writeHead(403, { 'content-type': 'text/xml' }).end(xml);
    }
    const arn = `<Arn>${caller.arn}</Arn>`;
    const xml =
      `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>` +
      `${arn}${fault === 'two-arns' ? arn : ''}<UserId>${caller.userId}</UserId><Account>${caller.account}</Account>` +
      '</GetCallerIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>';
    const declared = fault === 'doctype' ? `<!DOCTYPE x [<!ENTITY y "z">]>${xml}` : xml;
    response.writeHead(200, { 'content-type': 'text/xml' }).end(declared);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `http://${host}/`,
    host,
    hits: () => hits,
    fail: (kind: StsFault | null) => {
      fault = kind;
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A caller of a role's session, with fresh keys. */
export function fakeSession(role: string, session: string, account = '123456789012'): FakeCaller {
  const unique = 'AROATESTTESTTESTTEST1';
  return {
    accessKeyId: `ASIA${randomBytes(8).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64'),
    sessionToken: randomBytes(60).toString('base64'),
    arn: `arn:aws:sts::${account}:assumed-role/${role}/${session}`,
    userId: `${unique}:${session}`,
    account,
  };
}

/** Signs GetCallerIdentity for a broker; `changes` alter it before it is signed, `after` afterwards. */
export function signedRequest(
  caller: FakeCaller,
  options: {
    url: string;
    audience?: string;
    now: number;
    region?: string;
    headers?: Record<string, string>;
    /** Left out of what is signed. */
    unsigned?: readonly string[];
    after?: (request: { url: string; headers: Record<string, string> }) => unknown;
    body?: string;
  },
): string {
  const {
    url,
    audience = 'https://hallpass.acme.example',
    now,
    region = 'eu-west-1',
    unsigned = [],
  } = options;
  const stamp = `${new Date(now).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
  const headers: Record<string, string> = {
    'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
    'x-amz-date': stamp,
    'x-hallpass-audience': audience,
    ...(caller.sessionToken && { 'x-amz-security-token': caller.sessionToken }),
    ...options.headers,
  };
  const names = [...Object.keys(headers).filter((name) => !unsigned.includes(name)), 'host'].sort();
  const scope = `${stamp.slice(0, 8)}/${region}/sts/aws4_request`;
  const canonical = canonicalRequest(
    url,
    { ...headers, host: new URL(url).host },
    names,
    options.body ?? QUESTION,
  );
  const signature = sign(caller.secretAccessKey, scope, stamp, canonical);
  headers.authorization = `AWS4-HMAC-SHA256 Credential=${caller.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return encodeRequest(options.after?.({ url, headers }) ?? { url, headers });
}

/** A token of whatever this is, its members in order. */
export function encodeRequest(request: unknown): string {
  const sorted = (value: unknown): unknown =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(
          Object.entries(value)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([name, member]) => [name, sorted(member)]),
        )
      : value;
  return `aws-sigv4.${Buffer.from(JSON.stringify(sorted(request))).toString('base64url')}`;
}

const QUESTION = 'Action=GetCallerIdentity&Version=2011-06-15';

/** The caller, or the code of the refusal. */
function whoSigned(
  request: IncomingMessage,
  body: string,
  callers: readonly FakeCaller[],
  now: number,
): FakeCaller | string {
  if (request.method !== 'POST' || request.url !== '/' || body !== QUESTION) return 'InvalidAction';
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d+\/[^/]+\/sts\/aws4_request), SignedHeaders=([^,]+), Signature=(\w+)$/.exec(
      request.headers.authorization ?? '',
    );
  const [, accessKeyId, scope = '', names = '', signature = ''] = match ?? [];
  const caller = callers.find((one) => one.accessKeyId === accessKeyId);
  if (caller === undefined) return 'InvalidClientTokenId';
  if ((request.headers['x-amz-security-token'] ?? undefined) !== caller.sessionToken)
    return 'InvalidClientTokenId';
  const stamp = String(request.headers['x-amz-date']);
  const headers = request.headers as Record<string, string>;
  const canonical = canonicalRequest(`http://${headers.host}/`, headers, names.split(';'), body);
  const expected = sign(caller.secretAccessKey, scope, stamp, canonical);
  if (expected.length !== signature.length || !timingSafeEqual(Buffer.from(expected), Buffer.from(signature)))
    return 'SignatureDoesNotMatch';
  const at = Date.parse(stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  return Math.abs(now - at) > 900_000 ? 'RequestExpired' : caller;
}

function canonicalRequest(
  url: string,
  headers: Readonly<Record<string, string | undefined>>,
  names: readonly string[],
  body: string,
): string {
  const lines = names
    .map((name) => `${name}:${(headers[name] ?? '').trim().replaceAll(/ +/g, ' ')}\n`)
    .join('');
  return `POST\n${new URL(url).pathname}\n\n${lines}\n${names.join(';')}\n${sha256(body)}`;
}

function sign(secret: string, scope: string, stamp: string, canonical: string): string {
  const key = scope.split('/').reduce<string | Buffer>((outer, part) => hmac(outer, part), `AWS4${secret}`);
  return hmac(key, `AWS4-HMAC-SHA256\n${stamp}\n${scope}\n${sha256(canonical)}`).toString('hex');
}

function hmac(key: string | Buffer, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest();
}

function sha256(data: string): string {
  return createHash('sha256').update(data).digest('hex');
}

async function text(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return body;
}
