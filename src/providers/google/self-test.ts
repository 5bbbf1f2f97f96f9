import { HallpassError, ProviderError } from '../../errors.ts';
import type { SelfTest, Terms } from '../provider.ts';
import { type Report, trialTerms, wholeScopes } from '../self-test.ts';
import { ID_TOKEN_SECONDS, SELF_TEST_SECONDS, TOKEN_MARGIN_MS } from './limits.ts';
import { type GoogleContext, mint } from './mint.ts';
import { type GoogleScope, scopeSchema } from './settings.ts';

/** Makes a real token for every service account that the grants name without parameters. */
export async function selfTest(
  context: GoogleContext,
  target: string,
  mark: string,
  scopes: readonly unknown[],
  signal: AbortSignal,
): Promise<SelfTest> {
  const { steps, remedies }: Report = { steps: [], remedies: [] };
  for (const scope of wholeScopes(scopes, scopeSchema)) {
    const name = `mint for ${scope.service_account}`;
    try {
      await mint(context, scope, termsFor(context, mark, scope), signal);
      steps.push({ name, ok: true });
    } catch (error) {
      steps.push({ name, ok: false, detail: error instanceof HallpassError ? error.message : 'it failed' });
      if (error instanceof ProviderError && error.code === 'target-forbidden')
        remedies.push(...bindings(context, target, scope));
    }
  }
  if (steps.length === 0)
    steps.push({ name: 'mint', ok: true, detail: 'no grant names a service account without parameters' });
  return { ok: steps.every((step) => step.ok), steps, remedies };
}

function termsFor({ runtime }: GoogleContext, mark: string, { id_token: idToken }: GoogleScope): Terms {
  const seconds = idToken === undefined ? SELF_TEST_SECONDS : ID_TOKEN_SECONDS;
  return trialTerms(runtime, mark, seconds * 1000 + 2 * TOKEN_MARGIN_MS);
}

/** Who may make tokens for whom, down the chain of delegates. */
function bindings({ settings }: GoogleContext, target: string, scope: GoogleScope): string[] {
  const pool = settings.workload_identity_provider.replace(/\/providers\/.*$/, '');
  const broker = `principal://iam.googleapis.com/${pool}/subject/hallpass:target:${target}`;
  const chain = [...scope.delegates, scope.service_account];
  return chain.map((account, i) => {
    const before = chain[i - 1];
    const member = before === undefined ? broker : `serviceAccount:${before}`;
    return `gcloud iam service-accounts add-iam-policy-binding ${account} --role=roles/iam.serviceAccountTokenCreator --member='${member}'`;
  });
}
