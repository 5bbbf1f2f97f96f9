import type { About } from '../audit/event.ts';
import { err, type Result } from '../result.ts';
import { actorOf, type Broker } from './broker.ts';
import type { Refusal } from './refusal.ts';
import type { Caller } from './verbs.ts';

/**
 * Refuses a request: the refusal with its true reason is in the log before the caller hears of it (invariant 4).
 * `request` names what was wanted; `evidence` is the hash of what was presented, when no caller could be made of it.
 */
export async function refuse(
  broker: Broker,
  caller: Caller | null,
  about: About,
  request: string,
  refusal: Refusal,
  evidence: string | null = caller?.kind === 'principal' ? caller.principal.proof.evidenceHash : null,
): Promise<Result<never, Refusal>> {
  broker.observe.refused(refusal.reason);
  await broker.committer.commit({
    events: [
      {
        kind: 'request.refused',
        actor: caller ? actorOf(caller) : { kind: 'system' },
        about,
        data: { request, reason: refusal.reason, detail: refusal.detail, evidence },
      },
    ],
  });
  return err(refusal);
}
