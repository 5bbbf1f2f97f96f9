import { overdueAt } from '../broker/lease.ts';
import type {
  AvailableGrant,
  Explanation,
  IssuedCredential,
  KillProgress,
  OpenedTask,
  RequestView,
} from '../broker/verbs.ts';
import type { Cut } from '../grants/grant.ts';
import { instant, instantOrNull } from '../instant.ts';
import type { Json } from '../json.ts';
import { defaultLimits } from '../limits.ts';
import type { KillRow, KitRow, LeaseRow, LeaseUse, ReviewRow, TaskGrantRow, TaskRow } from '../store/rows.ts';
import type * as contract from './contract.ts';

/** Whether a lease should have ended, and has not (invariant 2). */
export function isOverdue(row: LeaseRow, now: number): boolean {
  const since = overdueAt(row);
  return since !== null && now > since + defaultLimits.overdueAfterMs;
}

export function leaseJson(row: LeaseRow, now: number): contract.Lease {
  return {
    id: row.id,
    task: row.taskId,
    credential: row.credential,
    grant: row.grant,
    target: row.target,
    provider: row.provider,
    name: row.name,
    identity: { issuer: row.issuer, subject: row.subject },
    state: row.state,
    created_at: instant(row.createdAt),
    issued_at: instantOrNull(row.issuedAt),
    expires_at: instant(row.expiresAt),
    cap_at: instant(row.capAt),
    due_at: instantOrNull(row.dueAt),
    ending_since: instantOrNull(row.endingSince),
    end_reason: row.endReason,
    attempts: row.attempts,
    last_error: row.lastError,
    overdue: isOverdue(row, now),
    ended_at: instantOrNull(row.endedAt),
    outcome: row.outcome,
    evidence: mutable(row.evidence),
    use: row.use && useJson(row.use),
  };
}

function useJson(use: LeaseUse): NonNullable<contract.Lease['use']> {
  switch (use.verdict) {
    case 'used':
    case 'maybe-used':
      return {
        verdict: use.verdict,
        first_seen_at: instant(use.firstSeenAt),
        last_seen_at: instant(use.lastSeenAt),
        places: use.places.map((place) => ({ ...place })),
        more_places: use.more,
      };
    case 'not-seen':
      return { verdict: use.verdict, looked_every_seconds: use.lookedEverySeconds };
    case 'unknown':
      return { verdict: use.verdict, why: use.why };
  }
}

export function taskJson(row: TaskRow): contract.Task {
  return {
    id: row.id,
    grant: row.grant,
    grant_version: row.grantVersion,
    task_grant: row.taskGrantId,
    name: row.name,
    purpose: row.purpose,
    ticket: row.ticket,
    practice: row.practice,
    parameters: mutableRecord(row.parameters),
    identity: { issuer: row.principal.issuer, subject: row.principal.subject },
    ...(row.principal.actors === undefined
      ? {}
      : { actors: row.principal.actors.map(({ issuer, subject }) => ({ issuer, subject })) }),
    ...(row.cnf === null ? {} : { cnf: row.cnf }),
    state: row.state,
    opened_at: instant(row.openedAt),
    expires_at: instant(row.expiresAt),
    heartbeat_seconds: row.heartbeatSeconds,
    heartbeat_due_at: instantOrNull(row.heartbeatDueAt),
    ended_at: instantOrNull(row.endedAt),
    end_reason: row.endReason,
    exit_status: row.exitStatus,
  };
}

export function issuedCredentialJson(issued: IssuedCredential, now: number): contract.IssuedCredential {
  return {
    name: issued.name,
    lease: leaseJson(issued.lease, now),
    ...(issued.secret ? { secret: { type: issued.secret.type, values: { ...issued.secret.values } } } : {}),
    ...(issued.sealed === null ? {} : { sealed: issued.sealed }),
  };
}

export function openedTaskJson(opened: OpenedTask, now: number): contract.OpenTaskResponse {
  return {
    task: taskJson(opened.task),
    ...(opened.token === null ? {} : { token: opened.token }),
    ...(opened.sealedToken === null ? {} : { sealed_token: opened.sealedToken }),
    credentials: opened.credentials.map((issued) => issuedCredentialJson(issued, now)),
  };
}

export function availableGrantJson(grant: AvailableGrant): contract.AvailableGrant {
  return {
    name: grant.name,
    version: grant.version,
    description: grant.description,
    tasks: [...grant.tasks],
    purpose: grant.purpose,
    purpose_patterns: [...grant.purposePatterns],
    ticket_patterns: [...grant.ticketPatterns],
    needs_approval: grant.needsApproval,
    break_glass: grant.breakGlass,
    credentials: grant.credentials.map((credential) => ({
      name: credential.name,
      target: credential.target,
      provider: credential.provider,
      default_ttl_seconds: credential.defaultTtlSeconds,
      max_ttl_seconds: credential.maxTtlSeconds,
    })),
    parameters: grant.parameters.map((parameter) => ({ ...parameter })),
  };
}

export function explanationJson(explanation: Explanation): contract.Explanation {
  return {
    identity: explanation.identity && {
      issuer: explanation.identity.issuer,
      subject: explanation.identity.subject,
      ...(explanation.identity.actors === undefined ? {} : { actors: [...explanation.identity.actors] }),
    },
    token: explanation.token,
    grants: explanation.grants.map(({ grant, allowed, checks }) => ({
      grant,
      allowed,
      checks: checks.map((check) => ({ ...check })),
    })),
  };
}

export function taskGrantJson(row: TaskGrantRow): contract.TaskGrant {
  // The store gives back what the broker wrote there: a `Cut`.
  const cut = row.cut as unknown as Cut;
  return {
    id: row.id,
    grant: row.grant,
    grant_version: row.grantVersion,
    task: cut.task,
    parameters: mutableRecord(cut.parameters),
    credentials: cut.credentials === null ? null : [...cut.credentials],
    max_ttl_seconds: cut.maxTtlSeconds,
    subject: cut.subject,
    created_by: row.createdBy,
    created_at: instant(row.createdAt),
    expires_at: instant(row.expiresAt),
    uses: row.uses,
    used: row.used,
  };
}

/** How often a client looks whether its request was approved: RFC 8628, section 3.2. */
const POLL_SECONDS = 5;
/** And while its start is far. */
const FAR = { ms: 600_000, pollSeconds: 60 };

export function requestJson(view: RequestView): contract.ApprovalRequest {
  const { request, onBehalfOf, stages, waitingStage, automatic } = view;
  const { ask } = request;
  return {
    id: request.id,
    state: request.state,
    digest: request.digest,
    grant: request.grant,
    grant_version: ask.grantVersion,
    identity: { issuer: request.issuer, subject: request.subject },
    on_behalf_of: [...onBehalfOf],
    task: ask.task,
    purpose: ask.purpose,
    ticket: ask.ticket ?? null,
    parameters: mutableRecord(ask.parameters),
    task_grant: ask.taskGrant,
    credentials: ask.credentials.map(({ name, target, scope, ttlSeconds, capSeconds }) => ({
      name,
      target,
      scope: mutable(scope),
      ttl_seconds: ttlSeconds,
      cap_seconds: capSeconds,
    })),
    approvals: request.approvals.map(({ by, at, ttlSeconds }) => ({
      by: { issuer: by.issuer, subject: by.subject },
      at: instant(at),
      ttl_seconds: ttlSeconds,
    })),
    stages: [...stages],
    auto_approved_by: automatic,
    practice: ask.practice ?? false,
    not_before: instantOrNull(ask.notBefore ?? null),
    waiting_stage: waitingStage,
    created_at: instant(request.createdAt),
    expires_at: instant(request.expiresAt),
    reason: request.reason,
    opened: request.taskId,
  };
}

export function awaitingJson(view: RequestView, now: number): contract.AwaitingApproval {
  const request = requestJson(view);
  const isFar = (view.request.ask.notBefore ?? now) - now > FAR.ms;
  return { request, interval: isFar ? FAR.pollSeconds : POLL_SECONDS, expires_at: request.expires_at };
}

export function reviewJson(row: ReviewRow, now: number): contract.Review {
  return {
    id: row.id,
    state: row.state,
    overdue: row.state !== 'closed' && now >= row.dueAt,
    practice: row.practice,
    grant: row.grant,
    task: row.taskId,
    identity: { issuer: row.issuer, subject: row.subject },
    people: [...row.people],
    purpose: row.purpose,
    ticket: row.ticket,
    opened_at: instant(row.openedAt),
    due_at: instant(row.dueAt),
    closed_at: instantOrNull(row.closedAt),
    closed_by: row.closedBy,
    finding: row.finding,
  };
}

export function killJson(row: KillRow): contract.Kill {
  return {
    id: row.id,
    ordered_at: instant(row.orderedAt),
    ordered_by: row.orderedBy,
    reason: row.reason,
    issuer: row.issuer,
    subject: row.subject,
    grant: row.grant,
    target: row.target,
    task: row.task,
    tasks: row.tasks,
    leases: row.leases,
    marked_at: instantOrNull(row.markedAt),
    lifted_at: instantOrNull(row.liftedAt),
    lifts_at: instantOrNull(row.liftsAt),
    lifted_by: row.liftedBy,
    lift_reason: row.liftReason,
  };
}

export function killProgressJson({ kill, rest }: KillProgress): contract.KillProgress {
  return {
    kill: killJson(kill),
    left: rest.reduce((sum, { left }) => sum + left, 0),
    rest: rest.map(({ target, left, failing, latestExpiry, expiryOnly }) => ({
      target,
      left,
      failing,
      latest_expiry: instant(latestExpiry),
      expiry_only: expiryOnly,
    })),
  };
}

/** The contract's JSON is mutable, ours is not: the value is the same. */
function mutable(value: Json): contract.Lease['evidence'] {
  return value as contract.Lease['evidence'];
}

function mutableRecord(value: Readonly<Record<string, Json>>): contract.Task['parameters'] {
  return value as contract.Task['parameters'];
}

export function kitJson(row: KitRow): contract.KitResponse['kit'] {
  return {
    id: row.id,
    sealed_at: instant(row.sealedAt),
    sealed_by: { issuer: row.sealedBy.issuer, subject: row.sealedBy.subject },
    threshold: row.threshold,
    holders: [...row.holders],
    grants: [...row.grants],
    expires_at: instant(row.expiresAt),
  };
}
