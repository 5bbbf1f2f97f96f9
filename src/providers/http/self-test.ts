import type { SelfTest } from '../provider.ts';
import { attempt, type Report, trialTerms, wholeScopes } from '../self-test.ts';
import { SELF_TEST_SECONDS } from './limits.ts';
import { end, type HttpContext, mint } from './operations.ts';
import { type HttpSettings, scopeSchema } from './settings.ts';

/** Ends what never was, which must be a success, and makes and ends a credential for each scope without parameters. */
export async function selfTest(
  context: HttpContext,
  { ends, url, audience }: HttpSettings,
  mark: string,
  scopes: readonly unknown[],
  signal: AbortSignal,
): Promise<SelfTest> {
  const report: Report = { steps: [], remedies: [] };
  const trial = () => trialTerms(context.runtime, mark, SELF_TEST_SECONDS * 1000);
  if (ends === 'confirmed') {
    const terms = trial();
    await attempt(report, 'end what never was', () => end(context, { ...terms, handle: null }, signal));
  }
  for (const [i, scope] of wholeScopes(scopes, scopeSchema).entries()) {
    const terms = trial();
    const minted = await attempt(report, `mint scope ${i + 1}`, () => mint(context, scope, terms, signal));
    // Also when minting failed: it may have taken effect.
    const ending = { ...terms, handle: minted?.handle ?? null };
    if (ends === 'confirmed') await attempt(report, `end scope ${i + 1}`, () => end(context, ending, signal));
  }
  const ok = report.steps.every((step) => step.ok);
  if (!ok) {
    const subject = 'the subject hallpass:target: and the name of this target';
    report.remedies.push(
      `Let the service at ${url} trust the broker's issuer, with audience "${audience ?? url}" and ${subject}`,
    );
  }
  return { ok, ...report };
}
