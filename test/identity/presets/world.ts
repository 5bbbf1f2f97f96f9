import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attestorKind } from '../../../src/identity/presets/kubernetes.ts';
import { startFakeCluster } from '../../fakes/kubernetes.ts';
import { startIssuer, type TestIssuer } from '../../support/issuer.ts';
import { createTestRuntime } from '../../support/runtime.ts';

const ISSUER = 'https://kubernetes.default.svc.cluster.local';
export const SUBJECT = 'system:serviceaccount:etl:nightly';

/** A cluster that is a fake, its issuer, and an attestor that talks to it as a broker in a pod does. */
export async function startCluster(
  settings: Record<string, unknown> = {},
  files: Record<string, string> = {},
  given?: TestIssuer,
) {
  const runtime = createTestRuntime();
  const issuer = given ?? (await startIssuer({ now: runtime.now, algorithms: ['RS256'] }));
  const cluster = await startFakeCluster();
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-test-'));
  const close = async () => {
    rmSync(folder, { recursive: true });
    if (given === undefined) await issuer.close();
    await cluster.close();
  };
  cluster.jwks = issuer.jwks();
  const tokenFile = join(folder, 'token');
  const rotate = () => {
    cluster.token = randomBytes(24).toString('base64url');
    writeFileSync(tokenFile, `${cluster.token}\n`);
  };
  rotate();
  const written = attestorKind.settings.parse({
    type: 'kubernetes',
    audience: 'hallpass',
    api_server: cluster.url,
    ca_file: 'ca.crt',
    token_file: tokenFile,
    ...settings,
  });
  const resolved = attestorKind.resolve(written, { ca_file: cluster.ca, ...files });
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.error));
  const attestor = attestorKind.create('cluster', resolved.value, runtime);
  const token = (claims: Record<string, unknown> = {}) =>
    issuer.sign({
      iss: ISSUER,
      sub: SUBJECT,
      'kubernetes.io': {
        namespace: 'etl',
        pod: { name: 'p' },
        serviceaccount: { name: 'nightly', uid: 'u-1' },
      },
      ...claims,
    });
  const verdict = async (text: string) => {
    const answer = await attestor.attest(
      { kind: 'bearer', token: text },
      runtime.now(),
      new AbortController().signal,
    );
    return answer === null ? 'null' : answer.ok ? 'ok' : answer.error.reason;
  };
  return { runtime, issuer, cluster, attestor, token, verdict, rotate, tokenFile, close };
}
