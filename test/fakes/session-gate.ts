import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { evaluate, type PolicyDocument } from './aws-policy.ts';
import { readSignature } from './aws-signature.ts';

/** What moto lacks, in front of it: a gate that holds the sessions that passed it to their session policies. */
export interface SessionGate {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Passes every request on as it is, and remembers the session policy of each session that STS gives. A request to S3
 * with a session's key must be allowed by that policy too; moto then checks its signature and the role's policies.
 */
export async function startSessionGate(to: { host: string; port: number }): Promise<SessionGate> {
  const policies = new Map<string, PolicyDocument>();
  const server = createServer((request, response) => void serve(request, response));

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const signed = readSignature(request, body);
    const policy = signed?.service === 's3' ? policies.get(signed.accessKeyId) : undefined;
    if (policy && evaluate([policy], s3Request(request)) !== 'allow') {
      response.writeHead(403, { 'content-type': 'application/xml' });
      return void response.end('<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>');
    }
    const asked = signed?.service === 'sts' ? new URLSearchParams(body.toString()).get('Policy') : null;
    const { method, url: path, headers } = request;
    const onward = send({ ...to, method, path, headers }, async (answer) => {
      const parts: Buffer[] = [];
      for await (const part of answer) parts.push(part as Buffer);
      const text = Buffer.concat(parts);
      const key = /<AccessKeyId>([^<]+)</.exec(text.toString())?.[1];
      if (asked !== null && key !== undefined) policies.set(key, JSON.parse(asked) as PolicyDocument);
      response.writeHead(answer.statusCode ?? 502, endToEnd(answer.headers)).end(text);
    });
    onward.on('error', () => response.destroy());
    onward.end(body);
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** One request to S3 in the words of policies, path style. */
function s3Request({ method, url = '/' }: IncomingMessage) {
  const path = decodeURIComponent(url.split('?')[0] ?? '').replace(/^\/|\/$/g, '');
  const isObject = path.includes('/');
  const verbs: Record<string, string> = {
    GET: 'GetObject',
    HEAD: 'GetObject',
    PUT: 'PutObject',
    DELETE: 'DeleteObject',
  };
  const action = isObject ? `s3:${verbs[method ?? ''] ?? 'Unknown'}` : 's3:ListBucket';
  const context = { 'aws:currenttime': new Date().toISOString() };
  return { action, resource: `arn:aws:s3:::${path}`, context };
}

function endToEnd(headers: IncomingMessage['headers']): IncomingMessage['headers'] {
  const { 'transfer-encoding': _, connection: __, ...rest } = headers;
  return rest;
}
