import { createHash, createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** What a request says of who signed it (Signature Version 4). Null for one that is not signed. */
export interface Signed {
  readonly accessKeyId: string;
  readonly region: string;
  readonly service: string;
  readonly token: string | undefined;
  verifies(secretAccessKey: string): boolean;
}

const FORM =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/;

export function readSignature(request: IncomingMessage, body: Buffer): Signed | null {
  const match = FORM.exec(request.headers.authorization ?? '');
  if (!match) return null;
  const [, accessKeyId = '', date = '', region = '', service = '', signedHeaders = '', signature = ''] =
    match;
  const header = (name: string) => String(request.headers[name] ?? '');
  const token = request.headers['x-amz-security-token'];
  return {
    accessKeyId,
    region,
    service,
    token: token === undefined ? undefined : String(token),
    verifies(secretAccessKey) {
      const names = signedHeaders.split(';');
      if (token !== undefined && !names.includes('x-amz-security-token')) return false;
      const [path = '/', query = ''] = (request.url ?? '/').split('?');
      const canonicalQuery = query.split('&').filter(Boolean).map(withValue).sort().join('&');
      const declared = header('x-amz-content-sha256');
      const canonical = [
        request.method,
        path,
        canonicalQuery,
        ...names.map((name) => `${name}:${header(name).trim().replace(/\s+/g, ' ')}`),
        '',
        signedHeaders,
        declared === '' || /^[0-9a-f]{64}$/.test(declared) ? sha256(body) : declared,
      ].join('\n');
      const scope = `${date}/${region}/${service}/aws4_request`;
      const toSign = ['AWS4-HMAC-SHA256', header('x-amz-date'), scope, sha256(canonical)].join('\n');
      const key = [date, region, service, 'aws4_request'].reduce<Buffer | string>(
        (secret, part) => createHmac('sha256', secret).update(part).digest(),
        `AWS4${secretAccessKey}`,
      );
      return createHmac('sha256', key).update(toSign).digest('hex') === signature;
    },
  };
}

function withValue(pair: string): string {
  return pair.includes('=') ? pair : `${pair}=`;
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
