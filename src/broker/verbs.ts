import type { AuditEvent } from '../audit/event.ts';
import type { Check } from '../grants/grant.ts';
import type { Evidence, Principal } from '../identity/attestor.ts';
import type { Json } from '../json.ts';
import type { Secret } from '../providers/provider.ts';
import type { Result } from '../result.ts';
import type { LeaseRow, TaskGrantRow, TaskRow } from '../store/rows.ts';
import type { Refusal } from './refusal.ts';

/** Who calls: a proven identity with its roles, or the holder of a task's token. */
export type Caller =
  | { readonly kind: 'principal'; readonly principal: Principal; readonly roles: ReadonlySet<Role> }
  | { readonly kind: 'task'; readonly task: TaskRow };

/** `operator` ends and explains, `auditor` reads, `orchestrator` cuts task grants. */
export type Role = 'operator' | 'auditor' | 'orchestrator';

export interface OpenTask {
  readonly grant: string;
  readonly task: string;
  readonly purpose: string | null;
  readonly parameters: Readonly<Record<string, Json>>;
  readonly credentials: readonly string[] | null;
  readonly ttlSeconds: number | null;
  readonly taskGrant: string | null;
  /** A public JWK. */
  readonly publicKey: Readonly<Record<string, Json>> | null;
  readonly idempotencyKey: string | null;
}

export interface IssuedCredential {
  readonly name: string;
  readonly lease: LeaseRow;
  /** Exactly one of the two. */
  readonly secret: Secret | null;
  readonly sealed: string | null;
}

export interface OpenedTask {
  readonly task: TaskRow;
  /** Exactly one of the two. */
  readonly token: string | null;
  readonly sealedToken: string | null;
  readonly credentials: readonly IssuedCredential[];
  /** True when an earlier request with the same idempotency key made it. */
  readonly repeated: boolean;
}

export interface LeaseFilter {
  readonly state?: LeaseRow['state'];
  readonly live?: boolean;
  readonly overdue?: boolean;
  readonly outcome?: string;
  readonly task?: string;
  readonly grant?: string;
  readonly target?: string;
  readonly issuer?: string;
  readonly subject?: string;
}

export interface TaskFilter {
  readonly state?: TaskRow['state'];
  readonly grant?: string;
  readonly issuer?: string;
  readonly subject?: string;
}

export interface AuditFilter {
  readonly task?: string;
  readonly lease?: string;
  readonly grant?: string;
  readonly target?: string;
  readonly issuer?: string;
  readonly subject?: string;
  readonly kind?: string;
  readonly outcome?: string;
  /** Milliseconds since the epoch. */
  readonly since?: number;
  readonly until?: number;
  readonly order?: 'oldest' | 'newest';
}

export interface Page {
  readonly cursor: string | null;
  readonly limit: number;
}

export interface AvailableGrant {
  readonly name: string;
  readonly version: string;
  readonly description: string | null;
  readonly tasks: readonly string[];
  readonly purpose: 'required' | 'optional';
  readonly credentials: readonly {
    readonly name: string;
    readonly target: string;
    readonly provider: string;
    readonly defaultTtlSeconds: number;
    readonly maxTtlSeconds: number;
  }[];
  readonly parameters: readonly { readonly name: string; readonly required: boolean }[];
}

export interface Explain {
  readonly grant: string | null;
  readonly identity: {
    readonly issuer: string;
    readonly subject: string;
    readonly claims: Readonly<Record<string, Json>>;
  } | null;
  readonly token: string | null;
  readonly task: string | null;
  readonly purpose: string | null;
  readonly parameters: Readonly<Record<string, Json>>;
  readonly credentials: readonly string[] | null;
  readonly ttlSeconds: number | null;
}

export interface Explanation {
  readonly identity: { readonly issuer: string; readonly subject: string } | null;
  readonly token: { readonly ok: boolean; readonly reason: string; readonly detail: string } | null;
  readonly grants: readonly {
    readonly grant: string;
    readonly allowed: boolean;
    readonly checks: readonly Check[];
  }[];
}

export interface CreateTaskGrant {
  readonly grant: string;
  readonly task: string;
  readonly parameters: Readonly<Record<string, Json>>;
  readonly credentials: readonly string[] | null;
  readonly maxTtlSeconds: number | null;
  readonly subject: { readonly issuer: string; readonly subject: string } | null;
  readonly expiresInSeconds: number;
  readonly uses: number;
}

type Answer<T> = Promise<Result<T, Refusal>>;

/**
 * What the broker does for its borders (HTTP and the reaper). Every verb checks the caller's right itself, writes
 * its refusals to the log, and throws only on bugs and on an unavailable store.
 */
export interface Verbs {
  /** Who is it? A task's token, or evidence for an attestor. `request` names what it was wanted for, in the log. */
  identify(evidence: Evidence, request: string): Answer<Caller>;
  openTask(caller: Caller, ask: OpenTask): Answer<OpenedTask>;
  addCredentials(
    caller: Caller,
    taskId: string,
    ask: { readonly credentials: readonly string[]; readonly ttlSeconds: number | null },
  ): Answer<{ readonly task: TaskRow; readonly credentials: readonly IssuedCredential[] }>;
  heartbeat(caller: Caller, taskId: string): Answer<TaskRow>;
  /** Ends the task and waits a bounded time for its leases; those not ended by then are in the reaper's hands. */
  completeTask(
    caller: Caller,
    taskId: string,
    exitStatus: number | null,
  ): Answer<{ readonly task: TaskRow; readonly leases: readonly LeaseRow[] }>;
  readTask(
    caller: Caller,
    taskId: string,
  ): Answer<{ readonly task: TaskRow; readonly leases: readonly LeaseRow[] }>;
  listTasks(
    caller: Caller,
    filter: TaskFilter,
    page: Page,
  ): Answer<{ readonly tasks: readonly TaskRow[]; readonly nextCursor: string | null }>;
  readLease(caller: Caller, leaseId: string): Answer<LeaseRow>;
  listLeases(
    caller: Caller,
    filter: LeaseFilter,
    page: Page,
  ): Answer<{ readonly leases: readonly LeaseRow[]; readonly nextCursor: string | null }>;
  renewLease(caller: Caller, leaseId: string, ttlSeconds: number | null): Answer<LeaseRow>;
  /** By the task's holder or an operator. Waits a bounded time for the end. */
  revokeLease(caller: Caller, leaseId: string, reason: string): Answer<LeaseRow>;
  availableGrants(caller: Caller): Answer<readonly AvailableGrant[]>;
  explain(caller: Caller, ask: Explain): Answer<Explanation>;
  createTaskGrant(caller: Caller, ask: CreateTaskGrant): Answer<TaskGrantRow>;
  readTaskGrant(caller: Caller, id: string): Answer<TaskGrantRow>;
  readAudit(
    caller: Caller,
    filter: AuditFilter,
    page: Page,
  ): Answer<{ readonly events: readonly AuditEvent[]; readonly nextCursor: string | null }>;
}
