import { z } from 'zod';
import type { SelfTest } from '../provider.ts';
import { attempt, type Report, trialTerms, wholeScopes } from '../self-test.ts';
import { end } from './end.ts';
import { SELF_TEST_SECONDS } from './limits.ts';
import { mint, type VaultContext } from './mint.ts';
import { scopeSchema, type VaultScope } from './settings.ts';

/** What the broker's own policy has to allow. */
function neededPaths(role: string): readonly string[] {
  return [
    `auth/token/create/${role}`,
    'auth/token/lookup-accessor',
    'auth/token/revoke-accessor',
    'sys/leases/lookup',
    'sys/leases/revoke',
    'sys/wrapping/wrap',
  ];
}

const capabilitiesSchema = z.object({ data: z.record(z.string(), z.unknown()) });

/** Asks Vault what the broker may do, then makes and ends a real credential for every scope that needs no parameters. */
export async function selfTest(
  context: VaultContext,
  mark: string,
  scopes: readonly unknown[],
  signal: AbortSignal,
): Promise<SelfTest> {
  const report: Report = { steps: [], remedies: [] };
  const allowed = await attempt(report, 'ask for our capabilities', () => missingPaths(context, signal));
  if (allowed !== null) judge(report, allowed);
  for (const [i, scope] of wholeScopes(scopes, scopeSchema).entries()) {
    await tryScope(report, context, mark, `scope ${i + 1} (${scope.policies.join(', ')})`, scope, signal);
  }
  return { ok: report.steps.every((step) => step.ok), ...report };
}

async function missingPaths({ connection, settings }: VaultContext, signal: AbortSignal): Promise<string[]> {
  const paths = neededPaths(settings.token_role);
  const request = { path: 'sys/capabilities-self', data: { paths } };
  const { data } = await connection.asBroker('ask for our capabilities', capabilitiesSchema, request, signal);
  return paths.filter((path) => {
    const capabilities = data[path];
    return !Array.isArray(capabilities) || !['update', 'root'].some((one) => capabilities.includes(one));
  });
}

function judge({ steps, remedies }: Report, missing: readonly string[]): void {
  for (const path of missing) {
    steps.push({ name: path, ok: false, detail: 'the broker may not update it' });
    remedies.push(`path "${path}" {\n  capabilities = ["update"]\n}`);
  }
}

async function tryScope(
  report: Report,
  context: VaultContext,
  mark: string,
  name: string,
  scope: VaultScope,
  signal: AbortSignal,
): Promise<void> {
  const terms = trialTerms(context.runtime, mark, SELF_TEST_SECONDS * 1000);
  const minted = await attempt(report, `mint ${name}`, () => mint(context, scope, terms, signal));
  if (minted === null) {
    const { token_role: role } = context.settings;
    report.remedies.push(
      `vault write auth/token/roles/${role} allowed_policies="${scope.policies.join(',')}" orphan=true renewable=false token_no_default_policy=true token_type=service`,
      ...Object.values(scope.secrets).map(
        ({ path, data }) =>
          `path "${path}" {\n  capabilities = ["${data === undefined ? 'read' : 'update'}"]\n}`,
      ),
    );
    return;
  }
  await attempt(report, `end ${name}`, () => end(context, { ...terms, handle: minted.handle }, signal));
}
