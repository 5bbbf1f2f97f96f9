import { timingSafeEqual } from 'node:crypto';
import { HallpassError } from '../errors.ts';
import { rolesOf } from '../grants/access.ts';
import type { AttestationRefusal, Attestor, Evidence, Principal } from '../identity/attestor.ts';
import { isStorable, type Json, sha256 } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import { ID_PATTERN, newId, type Runtime, withDeadline } from '../runtime.ts';
import { readTaskAndLeases, type TaskAndLeases } from '../store/tasks.ts';
import type { Broker } from './broker.ts';
import { actedFor, withStatedActors } from './delegation.ts';
import { tellFallback } from './fallback.ts';
import { BEARER, boundBy, confirm, possessionOf } from './possession.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import type { Caller, Presented, PrincipalCaller } from './verbs.ts';

/** How long proving an identity may take in all, fetching an issuer's keys included. */
const ATTEST_TIMEOUT_MS = 10_000;

/** How every task's token begins. */
export const TASK_TOKEN_PREFIX = 'hpt_';
const TASK_TOKEN = /^hpt_([0-9a-z]{26})_([A-Za-z0-9_-]{43})$/;

/** A new token for a task. The broker keeps its hash alone. */
export function newTaskToken(
  runtime: Runtime,
  taskId: string,
): { readonly token: string; readonly hash: string } {
  const token = `hpt_${taskId}_${Buffer.from(runtime.randomBytes(32)).toString('base64url')}`;
  return { token, hash: sha256(token) };
}

/** Who calls: the holder of a task's token, or a principal that an attestor vouches for, with its roles. */
export async function identify(
  broker: Broker,
  evidence: Evidence,
  request: string,
  presented: Presented = BEARER,
): Promise<Result<Caller, Refusal>> {
  if (evidence.kind === 'bearer' && evidence.token.startsWith(TASK_TOKEN_PREFIX)) {
    return identifyTask(broker, evidence.token, request, presented);
  }
  const attested = await attestAny(broker, evidence);
  if (!attested.ok) return refuse(broker, null, {}, request, attested.error, evidenceHash(evidence));
  const principal = attested.value;
  const caller: Caller = { kind: 'principal', principal, roles: rolesOf(broker.access, principal) };
  const bound = boundBy(principal.claims);
  if (!bound.ok) return unauthenticated(broker, evidence, request, `${principal.issuer}: ${bound.error}`);
  const possession = await possessionOf(
    broker,
    presented,
    presented.inBody || evidence.kind !== 'bearer' ? null : evidence.token,
  );
  if (!possession.ok) return refuse(broker, caller, {}, request, possession.error);
  const confirmed = confirm(bound.value, presented, possession.value);
  if (!confirmed.ok) return refuse(broker, caller, {}, request, confirmed.error);
  await tellFallback(broker, principal, request);
  return ok({ ...caller, possession: possession.value });
}

type NotProven = Extract<Refusal, { readonly reason: 'unauthenticated' | 'fallback-closed' }>;

/** The principal that the first attestor to know the evidence vouches for, or why there is none, for the log. */
export async function attestAny(
  broker: Broker,
  evidence: Evidence,
  attestors: readonly Attestor[] = broker.attestors,
): Promise<Result<Principal, NotProven>> {
  const no = (detail: string): Result<never, NotProven> => err({ reason: 'unauthenticated', detail });
  for (const attestor of attestors) {
    const answer = await attest(broker, attestor, evidence);
    if (answer === null) continue;
    if (answer.ok && !isStorable(answer.value as unknown as Json))
      return no(`${answer.value.issuer}: malformed: a claim has NUL or half a surrogate pair in it`);
    if (answer.ok) return answer;
    const { reason, detail, issuer } = answer.error;
    const said = `${issuer ?? attestor.issuer}: ${reason}: ${detail}`;
    return reason === 'fallback-closed' ? err({ reason, detail: said }) : no(said);
  }
  return no('unknown-issuer: no configured issuer vouches for this evidence');
}

/**
 * The caller with somebody who acts for him, whose evidence is judged as any is. His roles are those of the two of them:
 * what he may do alone, nobody may do for him unless the configuration says so.
 */
export async function identifyActor(
  broker: Broker,
  caller: PrincipalCaller,
  evidence: Evidence,
): Promise<Result<PrincipalCaller, string>> {
  const actor = await attestAny(broker, evidence);
  if (!actor.ok) return err(`actor: ${actor.error.detail}`);
  // Nothing in a request can confirm a second token that is bound to a key.
  if (actor.value.claims.cnf !== undefined)
    return err('actor: the token is bound to a key, which is not proven here');
  const principal = actedFor(caller.principal, actor.value);
  if (!principal.ok) return err(`actor: ${principal.error}`);
  await tellFallback(broker, actor.value, 'act');
  return ok({ ...caller, principal: principal.value, roles: rolesOf(broker.access, principal.value) });
}

/** The answer of one attestor. One that does not answer in time has not vouched for anybody. */
export async function attest(
  broker: Broker,
  attestor: Attestor,
  evidence: Evidence,
): Promise<Result<Principal, AttestationRefusal> | null> {
  const { runtime } = broker;
  try {
    const answer = await withDeadline(runtime, ATTEST_TIMEOUT_MS, (signal) =>
      attestor.attest(evidence, runtime.now(), signal),
    );
    if (!answer?.ok) return answer;
    const principal = withStatedActors(answer.value);
    return principal.ok ? principal : err({ reason: 'malformed', detail: principal.error });
  } catch (error) {
    if (!(error instanceof HallpassError && error.code === 'timeout')) throw error;
    return err({ reason: 'keys-unavailable', detail: error.message });
  }
}

async function identifyTask(
  broker: Broker,
  token: string,
  request: string,
  presented: Presented,
): Promise<Result<Caller, Refusal>> {
  const found = await taskOfToken(broker, token);
  if (found === null) {
    return unauthenticated(broker, { kind: 'bearer', token }, request, 'task-token: no task has this token');
  }
  const { task } = found;
  const caller: Caller = { kind: 'task', ...found };
  const no = (refusal: Refusal) => refuse(broker, caller, { task: task.id }, request, refusal);
  if (task.cnf === null && presented.proof === null && presented.scheme === 'Bearer') return ok(caller);
  const possession = await possessionOf(broker, presented, presented.inBody ? null : token);
  if (!possession.ok) return no(possession.error);
  const confirmed = confirm(task.cnf, presented, possession.value);
  if (!confirmed.ok) return no(confirmed.error);
  const once = possession.value.singleUse;
  if (once === null) return ok(caller);
  const used = { id: once.id, usedFor: newId(broker.runtime), keepUntil: once.until };
  const result = await broker.committer.commit({ evidence: [used], events: [] });
  if (result.ok) return ok(caller);
  return no({ reason: 'bad-proof', detail: 'The proof of possession was used before', nonce: null });
}

/** The task that this is the token of. */
export async function taskOfToken(broker: Broker, token: string): Promise<TaskAndLeases | null> {
  const id = TASK_TOKEN.exec(token)?.[1];
  const found = id !== undefined && ID_PATTERN.test(id) ? await readTaskAndLeases(broker.database, id) : null;
  return found !== null && equalHashes(found.task.tokenHash, sha256(token)) ? found : null;
}

function equalHashes(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

function unauthenticated(broker: Broker, evidence: Evidence, request: string, detail: string) {
  return refuse(broker, null, {}, request, { reason: 'unauthenticated', detail }, evidenceHash(evidence));
}

export function evidenceHash(evidence: Evidence): string {
  return sha256(evidence.kind === 'bearer' ? evidence.token : (evidence.chain[0] ?? ''));
}
