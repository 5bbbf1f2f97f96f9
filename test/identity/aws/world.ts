import { attestorKind } from '../../../src/identity/aws/kind.ts';
import { fakeSession, signedRequest, startFakeSts } from '../../fakes/sts.ts';
import { createTestRuntime } from '../../support/runtime.ts';

export const AUDIENCE = 'https://hallpass.acme.example';

/** An attestor over a fake of STS, and a role's session that signs for it. */
export async function openAwsWorld(settings: Record<string, unknown> = {}) {
  const runtime = createTestRuntime();
  const caller = fakeSession('etl', 'nightly');
  const sts = await startFakeSts([caller], runtime.now);
  const written = attestorKind.settings.parse({
    type: 'aws',
    audience: AUDIENCE,
    endpoint: sts.url,
    allow_insecure_http: true,
    clock_tolerance_seconds: 20,
    ...settings,
  });
  const resolved = attestorKind.resolve(written, {});
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.error));
  const attestor = attestorKind.create('aws', resolved.value, runtime);
  const token = (options: Partial<Parameters<typeof signedRequest>[1]> = {}, by = caller) =>
    ({
      kind: 'bearer',
      token: signedRequest(by, { url: sts.url, now: runtime.now() - 10_000, ...options }),
    }) as const;
  const verdict = async (evidence: Parameters<typeof attestor.attest>[0]) => {
    const answer = await attestor.attest(evidence, runtime.now(), new AbortController().signal);
    return answer === null ? 'null' : answer.ok ? 'ok' : answer.error.reason;
  };
  return { runtime, caller, sts, attestor, token, verdict };
}
