import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createCertificate } from '../support/certificates.ts';

export interface FakeCluster {
  readonly url: string;
  readonly host: string;
  readonly ca: string;
  /** What the broker's own token must be. */
  token: string;
  /** The keys of its issuer. */
  jwks: unknown;
  /** Tokens of accounts that are gone. */
  readonly deleted: Set<string>;
  /** Replaces the status of each review. */
  status: ((spec: { token: string; audiences: string[] }) => unknown) | null;
  /** Answers every request so instead; `hang` never does. */
  fault: number | 'hang' | null;
  hits(): { keys: number; reviews: number };
  close(): Promise<void>;
}

/** A fake of a Kubernetes API server over TLS: it knows keys and TokenReview alone, and only a broker that it knows. */
export async function startFakeCluster(): Promise<FakeCluster> {
  const certificate = await createCertificate({ name: 'kube-apiserver', address: '127.0.0.1' });
  const hits = { keys: 0, reviews: 0 };
  const server = createServer({ key: certificate.key, cert: certificate.cert }, async (request, response) => {
    const body = await text(request);
    if (cluster.fault === 'hang') return;
    if (cluster.fault !== null) return void response.writeHead(cluster.fault).end('{}');
    if (request.headers.authorization !== `Bearer ${cluster.token}`)
      return void response.writeHead(401).end('{}');
    response.setHeader('content-type', 'application/json');
    if (request.method === 'GET' && request.url === '/openid/v1/jwks') {
      hits.keys++;
      return void response.end(JSON.stringify(cluster.jwks));
    }
    if (request.method !== 'POST' || request.url !== '/apis/authentication.k8s.io/v1/tokenreviews')
      return void response.writeHead(404).end('{}');
    hits.reviews++;
    const { spec, kind, apiVersion } = JSON.parse(body);
    if (kind !== 'TokenReview' || apiVersion !== 'authentication.k8s.io/v1')
      return void response.writeHead(400).end('{}');
    const status = cluster.status?.(spec) ?? review(spec, cluster.deleted);
    response.writeHead(201).end(JSON.stringify({ apiVersion, kind, spec, status }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cluster: FakeCluster = {
    url: `https://${host}`,
    host,
    ca: certificate.cert,
    token: 'unset',
    jwks: { keys: [] },
    deleted: new Set(),
    status: null,
    fault: null,
    hits: () => ({ ...hits }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return cluster;
}

function review(
  { token, audiences }: { token: string; audiences: string[] },
  deleted: ReadonlySet<string>,
): unknown {
  if (deleted.has(token)) return { authenticated: false, error: '[invalid bearer token, pod is gone]' };
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  const user = { username: claims.sub, uid: claims['kubernetes.io'].serviceaccount.uid };
  return { authenticated: true, user, audiences: audiences.filter((audience) => audience === claims.aud) };
}

async function text(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return body;
}
