import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { attestorKind, createSpiffeAttestor } from '../../../src/identity/spiffe/kind.ts';
import { authority, type Issued, issue } from '../../support/authority.ts';
import { startIssuer, type TestIssuer } from '../../support/issuer.ts';
import { createTestRuntime, type TestRuntime } from '../../support/runtime.ts';

export const TRUST_DOMAIN = 'prod.acme.example';
export const WORKLOAD = `spiffe://${TRUST_DOMAIN}/ns/etl/sa/nightly`;

export interface SpiffeWorld {
  readonly runtime: TestRuntime;
  readonly attestor: ReturnType<typeof createSpiffeAttestor>;
  readonly root: Issued;
  readonly intermediate: Issued;
  /** Lends the keys of JWT-SVIDs. */
  readonly signer: TestIssuer;
  readonly host: string;
  /** The bundle as it is published; another one from now on. */
  bundle(): Record<string, unknown>;
  publish(document: unknown): void;
  /** A JWT-SVID. */
  token(
    claims?: Record<string, unknown>,
    options?: Parameters<TestIssuer['sign']>[1],
  ): Promise<{ kind: 'bearer'; token: string }>;
  hits(): number;
  close(): Promise<void>;
}

/** A trust domain with its bundle endpoint, and an attestor that trusts it. */
export async function openSpiffeWorld(
  settings: Record<string, unknown> = {},
  options: { algorithms?: string[] } = {},
): Promise<SpiffeWorld> {
  const runtime = createTestRuntime();
  const signer = await startIssuer({ now: runtime.now, ...options });
  const root = await authority({ subject: 'CN=Root of prod' });
  const intermediate = await issue(root, { ca: true, subject: 'CN=Issuing authority', pathLength: 0 });
  const bundle = () => ({
    keys: [
      { ...x509Entry(root) },
      ...signer.jwks().keys.map(({ use: _, alg: __, ...key }) => ({ ...key, use: 'jwt-svid' })),
      { kty: 'RSA', use: 'something-new', n: 'x', e: 'AQAB' },
      { kty: 'quantum', use: 'jwt-svid', kid: 'q' },
    ],
    spiffe_sequence: 7,
    spiffe_refresh_hint: 60,
  });
  let published: unknown = bundle();
  let hits = 0;
  const server: Server = createServer((_, response) => {
    hits++;
    if (published === null) return void response.writeHead(500).end();
    response.setHeader('content-type', 'application/json').end(JSON.stringify(published));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const written = attestorKind.settings.parse({
    type: 'spiffe',
    trust_domain: TRUST_DOMAIN,
    audience: 'hallpass',
    ...(settings.bundle_path === undefined && {
      bundle_url: `http://${host}/bundle`,
      allow_insecure_http: true,
    }),
    ...settings,
  });
  const resolved = attestorKind.resolve(written, {});
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.error));
  return {
    runtime,
    attestor: createSpiffeAttestor('prod', resolved.value, runtime),
    root,
    intermediate,
    signer,
    host,
    bundle,
    publish: (document) => {
      published = document;
    },
    token: async (claims = {}, options = {}) => ({
      kind: 'bearer',
      token: await signer.sign({ iss: undefined, jti: undefined, sub: WORKLOAD, ...claims }, options),
    }),
    hits: () => hits,
    close: async () => {
      await signer.close();
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
    },
  };
}

/** An X.509 authority as a bundle has it. */
export function x509Entry({ certificate, der }: Issued): Record<string, unknown> {
  return {
    kty: 'EC',
    crv: 'P-256',
    x: 'AA',
    y: 'AA',
    use: 'x509-svid',
    x5c: [Buffer.from(der).toString('base64')],
    ...(certificate.subject === '' ? { kid: 'x' } : {}),
  };
}

/** A client's chain as evidence. */
export function chainOf(...certificates: readonly Issued[]) {
  return { kind: 'client-certificate', chain: certificates.map(({ der }) => der) } as const;
}
