import { timingSafeEqual } from 'node:crypto';
import { HallpassError } from '../errors.ts';
import { rolesOf } from '../grants/access.ts';
import type { AttestationRefusal, Attestor, Evidence, Principal } from '../identity/attestor.ts';
import { isStorable, type Json, sha256 } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import { ID_PATTERN, type Runtime, withDeadline } from '../runtime.ts';
import { readTask } from '../store/tasks.ts';
import type { Broker } from './broker.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import type { Caller } from './verbs.ts';

/** How long proving an identity may take in all, fetching an issuer's keys included. */
const ATTEST_TIMEOUT_MS = 10_000;

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
): Promise<Result<Caller, Refusal>> {
  if (evidence.kind === 'bearer' && evidence.token.startsWith('hpt_')) {
    return identifyTask(broker, evidence.token, request);
  }
  for (const attestor of broker.attestors) {
    const answer = await attest(broker, attestor, evidence);
    if (answer === null) continue;
    if (answer.ok && !isStorable(answer.value as unknown as Json)) {
      const detail = `${answer.value.issuer}: malformed: a claim has NUL or half a surrogate pair in it`;
      return unauthenticated(broker, evidence, request, detail);
    }
    if (answer.ok) {
      return ok({ kind: 'principal', principal: answer.value, roles: rolesOf(broker.access, answer.value) });
    }
    const { reason, detail, issuer } = answer.error;
    return unauthenticated(broker, evidence, request, `${issuer ?? attestor.issuer}: ${reason}: ${detail}`);
  }
  return unauthenticated(
    broker,
    evidence,
    request,
    'unknown-issuer: no configured issuer vouches for this evidence',
  );
}

/** The answer of one attestor. One that does not answer in time has not vouched for anybody. */
export async function attest(
  broker: Broker,
  attestor: Attestor,
  evidence: Evidence,
): Promise<Result<Principal, AttestationRefusal> | null> {
  const { runtime } = broker;
  try {
    return await withDeadline(runtime, ATTEST_TIMEOUT_MS, (signal) =>
      attestor.attest(evidence, runtime.now(), signal),
    );
  } catch (error) {
    if (!(error instanceof HallpassError && error.code === 'timeout')) throw error;
    return err({ reason: 'keys-unavailable', detail: error.message });
  }
}

async function identifyTask(
  broker: Broker,
  token: string,
  request: string,
): Promise<Result<Caller, Refusal>> {
  const id = TASK_TOKEN.exec(token)?.[1];
  const task = id !== undefined && ID_PATTERN.test(id) ? await readTask(broker.database, id) : null;
  if (task === null || !equalHashes(task.tokenHash, sha256(token))) {
    return unauthenticated(broker, { kind: 'bearer', token }, request, 'task-token: no task has this token');
  }
  return ok({ kind: 'task', task });
}

function equalHashes(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

function unauthenticated(broker: Broker, evidence: Evidence, request: string, detail: string) {
  return refuse(broker, null, {}, request, { reason: 'unauthenticated', detail }, evidenceHash(evidence));
}

function evidenceHash(evidence: Evidence): string {
  return sha256(evidence.token);
}
