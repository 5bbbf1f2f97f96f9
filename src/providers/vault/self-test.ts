import { z } from 'zod';
import { ProviderError } from '../../errors.ts';
import { newId } from '../../runtime.ts';
import type { SelfTest, Terms } from '../provider.ts';
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

interface Report {
  readonly steps: { readonly name: string; readonly ok: boolean; readonly detail?: string }[];
  readonly remedies: string[];
}

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
  for (const [i, scope] of whole(scopes).entries()) {
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

/** The scopes whose templates need no parameters. */
function whole(scopes: readonly unknown[]): VaultScope[] {
  return scopes.flatMap((scope) => {
    const read = JSON.stringify(scope)?.includes('{{') ? undefined : scopeSchema.safeParse(scope).data;
    return read === undefined ? [] : [read];
  });
}

async function tryScope(
  report: Report,
  context: VaultContext,
  mark: string,
  name: string,
  scope: VaultScope,
  signal: AbortSignal,
): Promise<void> {
  const leaseId = newId(context.runtime);
  const now = context.runtime.now();
  const expiresAt = now + SELF_TEST_SECONDS * 1000;
  const terms: Terms = {
    leaseId,
    name: `${mark}${leaseId}`,
    now,
    mintBefore: expiresAt,
    expiresAt,
    context: { issuer: '', subject: '', grant: 'self-test', task: 'self-test', taskId: '', purpose: null },
  };
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
  await attempt(report, `end ${name}`, () =>
    end(context, { leaseId, name: terms.name, handle: minted.handle, expiresAt }, signal),
  );
}

async function attempt<T>({ steps }: Report, name: string, work: () => Promise<T>): Promise<T | null> {
  try {
    const result = await work();
    steps.push({ name, ok: true });
    return result;
  } catch (error) {
    const detail = error instanceof ProviderError ? error.message : 'it failed';
    steps.push({ name, ok: false, detail });
    return null;
  }
}
