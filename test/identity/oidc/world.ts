import { onTestFinished } from 'vitest';
import type { Evidence } from '../../../src/identity/attestor.ts';
import { createOidcAttestor } from '../../../src/identity/oidc/attestor.ts';
import {
  type OidcFiles,
  type OidcSettings,
  oidcSettings,
  resolveOidcSettings,
} from '../../../src/identity/oidc/settings.ts';
import { type IssuerOptions, startIssuer, type TestIssuer } from '../../support/issuer.ts';
import { createTestRuntime, type TestRuntime } from '../../support/runtime.ts';

/** Settings as the configuration makes them; loopback is allowed. */
export function settingsOf(own: Record<string, unknown>, files: OidcFiles = {}): OidcSettings {
  const configuration = { type: 'oidc', audience: 'hallpass', allow_insecure_http: true, ...own };
  const resolved = resolveOidcSettings(oidcSettings.parse(configuration), files);
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.error));
  return resolved.value;
}

export interface OidcWorld {
  readonly runtime: TestRuntime;
  readonly issuer: TestIssuer;
  readonly attestor: ReturnType<typeof createOidcAttestor>;
  /** What the attestor says of a token, at the runtime's instant or another. */
  attest(token: string, now?: number, signal?: AbortSignal): ReturnType<OidcWorld['attestor']['attest']>;
  /** In one word: `ok`, `null`, or the reason of the refusal. */
  verdict(token: string, now?: number): Promise<string>;
}

/** An attestor over a running issuer on one clock, closed when the test ends. */
export async function openWorld(
  own: Record<string, unknown> = {},
  issuerOptions: IssuerOptions = {},
  files: OidcFiles = {},
): Promise<OidcWorld> {
  const runtime = createTestRuntime();
  const issuer = await startIssuer({ now: runtime.now, ...issuerOptions });
  onTestFinished(() => issuer.close());
  const attestor = createOidcAttestor('ci', settingsOf({ issuer: issuer.url, ...own }, files), runtime);
  const attest: OidcWorld['attest'] = (token, now = runtime.now(), signal = new AbortController().signal) =>
    attestor.attest(bearer(token), now, signal);
  return {
    runtime,
    issuer,
    attestor,
    attest,
    verdict: async (token, now) => {
      const verdict = await attest(token, now);
      if (verdict === null) return 'null';
      return verdict.ok ? 'ok' : verdict.error.reason;
    },
  };
}

export function bearer(token: string): Evidence {
  return { kind: 'bearer', token };
}
