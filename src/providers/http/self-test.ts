import { HallpassError } from '../../errors.ts';
import { newId } from '../../runtime.ts';
import type { SelfTest } from '../provider.ts';
import { SELF_TEST_SECONDS } from './limits.ts';
import { end, type HttpContext, mint } from './operations.ts';
import { type HttpScope, type HttpSettings, scopeSchema } from './settings.ts';

/** Ends what never was, which must be a success, and makes and ends a credential for each scope without parameters. */
export async function selfTest(
  context: HttpContext,
  { ends, url, audience }: HttpSettings,
  mark: string,
  scopes: readonly unknown[],
  signal: AbortSignal,
): Promise<SelfTest> {
  const steps: { readonly name: string; readonly ok: boolean; readonly detail?: string }[] = [];
  const remedies: string[] = [];
  async function attempt<T>(name: string, work: () => Promise<T>): Promise<T | null> {
    try {
      const result = await work();
      steps.push({ name, ok: true });
      return result;
    } catch (error) {
      steps.push({ name, ok: false, detail: error instanceof HallpassError ? error.message : 'it failed' });
      return null;
    }
  }
  if (ends === 'confirmed') {
    const terms = termsFor(context, mark);
    await attempt('end what never was', () => end(context, { ...terms, handle: null }, signal));
  }
  for (const [i, scope] of whole(scopes).entries()) {
    const terms = termsFor(context, mark);
    const minted = await attempt(`mint scope ${i + 1}`, () => mint(context, scope, terms, signal));
    // Also when minting failed: it may have taken effect.
    const ending = { ...terms, handle: minted?.handle ?? null };
    if (ends === 'confirmed') await attempt(`end scope ${i + 1}`, () => end(context, ending, signal));
  }
  const ok = steps.every((step) => step.ok);
  if (!ok) {
    const subject = 'the subject hallpass:target: and the name of this target';
    remedies.push(
      `Let the service at ${url} trust the broker's issuer, with audience "${audience ?? url}" and ${subject}`,
    );
  }
  return { ok, steps, remedies };
}

function whole(scopes: readonly unknown[]): HttpScope[] {
  return scopes.flatMap((scope) => {
    const read = JSON.stringify(scope)?.includes('{{') ? undefined : scopeSchema.safeParse(scope).data;
    return read === undefined ? [] : [read];
  });
}

function termsFor({ runtime }: HttpContext, mark: string) {
  const leaseId = newId(runtime);
  const now = runtime.now();
  const expiresAt = now + SELF_TEST_SECONDS * 1000;
  return {
    leaseId,
    name: `${mark}${leaseId}`,
    now,
    mintBefore: expiresAt,
    expiresAt,
    context: { issuer: '', subject: '', grant: 'self-test', task: 'self-test', taskId: '', purpose: null },
  };
}
