import type { ZodType } from 'zod';
import { HallpassError } from '../errors.ts';
import { newId, type Runtime } from '../runtime.ts';
import type { SelfTest, Terms } from './provider.ts';

/** Collects what a self-test tries, and what would mend what failed. */
export interface Report {
  readonly steps: SelfTest['steps'][number][];
  readonly remedies: string[];
}

/** What failed is a step of the report, and null; the rest goes on without it. */
export async function attempt<T>({ steps }: Report, name: string, work: () => Promise<T>): Promise<T | null> {
  try {
    const result = await work();
    steps.push({ name, ok: true });
    return result;
  } catch (error) {
    steps.push({ name, ok: false, detail: error instanceof HallpassError ? error.message : 'it failed' });
    return null;
  }
}

/** The terms of a credential that is nobody's, and lives this long at the most. */
export function trialTerms(runtime: Runtime, mark: string, lifetimeMs: number): Terms {
  const leaseId = newId(runtime);
  const now = runtime.now();
  const expiresAt = now + lifetimeMs;
  return {
    leaseId,
    name: `${mark}${leaseId}`,
    now,
    mintBefore: expiresAt,
    expiresAt,
    context: { issuer: '', subject: '', grant: 'self-test', task: 'self-test', taskId: '', purpose: null },
  };
}

/** The scopes that can be asked for as they are written: those without templates. */
export function wholeScopes<Scope>(scopes: readonly unknown[], schema: ZodType<Scope>): Scope[] {
  return scopes.flatMap((scope) => {
    const read = JSON.stringify(scope)?.includes('{{') ? undefined : schema.safeParse(scope).data;
    return read === undefined ? [] : [read];
  });
}
