import type { NewEvent } from '../audit/event.ts';
import type { Attestor, FallbackTerms, Principal } from '../identity/attestor.ts';
import { instant } from '../instant.ts';
import { err, ok } from '../result.ts';
import { type Runtime, withDeadline } from '../runtime.ts';
import type { Database } from '../store/database.ts';
import { readFallback, writeFallback } from '../store/fallbacks.ts';
import type { FallbackRow } from '../store/rows.ts';
import type { Broker } from './broker.ts';
import { afterLook, type FallbackRule, takenSince } from './fallback-state.ts';

/** An issuer that stands in for another, and how to look whether that one is there. */
export interface Fallback extends FallbackRule {
  reach(signal: AbortSignal): Promise<string | null>;
}

/** How long a look may take: longer than the fetch itself is given. */
const LOOK_TIMEOUT_MS = 10_000;

/** Looks that lost to another replica's are made again from what it wrote. */
const WRITE_ATTEMPTS = 5;

/** Reaches an issuer, and then what must answer besides: anything but an error, within the time of the look. */
export function reachAll(
  reach: Fallback['reach'],
  probeUrl: string | undefined,
  runtime: Runtime,
): Fallback['reach'] {
  if (probeUrl === undefined) return reach;
  return async (signal) => (await reach(signal)) ?? (await probe(probeUrl, runtime, signal));
}

async function probe(url: string, runtime: Runtime, signal: AbortSignal): Promise<string | null> {
  try {
    const answer = await runtime.fetch(url, { redirect: 'manual', signal });
    await answer.body?.cancel();
    return answer.status < 400 ? null : `Cannot reach "${url}": the answer is HTTP ${answer.status}`;
  } catch {
    return `Cannot reach "${url}": there is no answer`;
  }
}

/** The attestor of an issuer that stands in for another: it takes nothing while that one is not known to be away. */
export function guarded(
  attestor: Attestor,
  rule: FallbackRule,
  { database, runtime }: { readonly database: Database; readonly runtime: Runtime },
): Attestor {
  return {
    issuer: attestor.issuer,
    async attest(evidence, now, signal) {
      const verdict = await attestor.attest(evidence, now, signal);
      if (!verdict?.ok) return verdict;
      const since = takenSince(rule, await readFallback(database, rule.issuer), runtime.now());
      if (!since.ok) return err({ reason: 'fallback-closed', detail: since.error, issuer: rule.issuer });
      const { proof, ...principal } = verdict.value;
      return ok({ ...principal, proof: { ...proof, standsFor: rule.standsFor } });
    },
  };
}

/** All attestors, those that stand in for others guarded, and what has to be looked at for these. */
export function withFallbacks(
  issuers: readonly { readonly attestor: Attestor; readonly fallback: FallbackTerms | undefined }[],
  outside: { readonly database: Database; readonly runtime: Runtime },
): { readonly attestors: readonly Attestor[]; readonly fallbacks: readonly Fallback[] } {
  const fallbacks: Fallback[] = [];
  const attestors = issuers.map(({ attestor, fallback }) => {
    if (fallback === undefined) return attestor;
    const rule = { ...fallback, issuer: attestor.issuer };
    const primary = issuers.find((one) => one.attestor.issuer === fallback.standsFor)?.attestor;
    // Without a way to look it stays unknown whether the other is away, and so refused.
    if (primary?.reach)
      fallbacks.push({ ...rule, reach: reachAll(primary.reach, fallback.probeUrl, outside.runtime) });
    return guarded(attestor, rule, outside);
  });
  return { attestors, fallbacks };
}

/** Looks once whether the other issuer can be reached, and writes down what that means. */
export async function look(broker: Broker, fallback: Fallback, stopping?: AbortSignal): Promise<void> {
  const { database, runtime, log } = broker;
  const fault = await withDeadline(
    runtime,
    LOOK_TIMEOUT_MS,
    (signal) => fallback.reach(signal),
    stopping,
  ).catch(() => `no answer within ${LOOK_TIMEOUT_MS} ms`);
  if (stopping?.aborted) return;
  for (let attempt = 1; attempt <= WRITE_ATTEMPTS; attempt++) {
    const before = await readFallback(database, fallback.issuer);
    const after = afterLook(fallback, before, fault === null, runtime.now());
    const event = switched(fallback, before, after, fault);
    if (!(await writeFallback(database, runtime, after, event))) continue;
    const about = { issuer: fallback.issuer, standsFor: fallback.standsFor };
    if (event?.kind === 'fallback.opened')
      log.error({ ...about, detail: fault }, 'an issuer is away: what stands in for it is taken');
    else if (event !== null) log.warn(about, 'what stands in for an issuer is refused again');
    return;
  }
}

/** The event of a look that changed something. */
function switched(
  { issuer, standsFor }: FallbackRule,
  before: FallbackRow | null,
  after: FallbackRow,
  fault: string | null,
): NewEvent | null {
  const was = before?.state ?? 'closed';
  if (was === after.state) return null;
  const told = { actor: { kind: 'system' }, about: {} } as const;
  if (after.state === 'closed') {
    const reason = fault === null ? `${standsFor} was reached` : 'for a time nobody looked';
    return { ...told, kind: 'fallback.closed', data: { issuer, standsFor, reason } };
  }
  const failingSince = instant(after.failingSince ?? after.lookedAt);
  return { ...told, kind: 'fallback.opened', data: { issuer, standsFor, failingSince, detail: fault ?? '' } };
}

/** Says in the log, before anything comes of it, that somebody was let in by what stands in for his issuer. */
export async function tellFallback(
  broker: Broker,
  { issuer, subject, proof }: Principal,
  request: string,
): Promise<void> {
  const { standsFor, evidenceHash: evidence } = proof;
  if (standsFor === undefined) return;
  broker.log.warn({ issuer, subject, standsFor, request }, 'let in while an issuer is away');
  await broker.committer.commit({
    events: [
      {
        kind: 'fallback.used',
        actor: { kind: 'principal', issuer, subject },
        about: {},
        data: { issuer, standsFor, request, evidence },
      },
    ],
  });
}
