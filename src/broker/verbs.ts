import type { AuditEvent } from '../audit/event.ts';
import type { Check } from '../grants/grant.ts';
import type { ActingParty, Evidence, Principal } from '../identity/attestor.ts';
import type { Json } from '../json.ts';
import type { Secret } from '../providers/provider.ts';
import type { Result } from '../result.ts';
import type { KillRest } from '../store/kills.ts';
import type {
  KillRow,
  LeaseRow,
  LeaseUse,
  RequestRow,
  ReviewRow,
  TaskGrantRow,
  TaskRow,
} from '../store/rows.ts';
import type { TaskAndLeases } from '../store/tasks.ts';
import type { Possession } from './possession.ts';
import type { Refusal } from './refusal.ts';
import type { TrailBearer } from './trail.ts';

/** Who calls: a proven identity with its roles, or the holder of a task's token, with the task as it was when he showed it. */
export type Caller = PrincipalCaller | ({ readonly kind: 'task' } & TaskAndLeases);

/** Somebody who has proven who he is. */
export interface PrincipalCaller {
  readonly kind: 'principal';
  readonly principal: Principal;
  readonly roles: ReadonlySet<Role>;
  /** What he has proven to hold; absent: nothing. What he opens is bound to it. */
  readonly possession?: Possession;
}

/** `operator` ends and explains, `auditor` reads, `orchestrator` cuts task grants. */
export type Role = 'operator' | 'auditor' | 'orchestrator';

/** What came with a request to say whose its token is. */
export interface Presented {
  /** The scheme in which the token was presented. A token in a request's body comes as `Bearer`. */
  readonly scheme: 'Bearer' | 'DPoP';
  /** The DPoP proof, and the method and the path that it must be for. */
  readonly proof: { readonly jwt: string; readonly method: string; readonly path: string } | null;
  /** SHA-256 thumbprint, base64url, of the client certificate whose key this connection has proven. */
  readonly certificate: string | null;
  /** Whether the token stood in the body: a proof then does not name it. */
  readonly inBody?: true;
}

export interface OpenTask {
  readonly grant: string;
  readonly task: string;
  readonly purpose: string | null;
  readonly ticket?: string;
  readonly parameters: Readonly<Record<string, Json>>;
  readonly credentials: readonly string[] | null;
  readonly ttlSeconds: number | null;
  readonly taskGrant: string | null;
  /** A rehearsal of a break-glass grant: all of it but the minting. */
  readonly practice?: true;
  /** When it is to start, at the earliest, in milliseconds since the epoch. */
  readonly notBefore?: number;
  /** The approved request that it redeems. */
  readonly request?: string;
  /** A public JWK. */
  readonly publicKey: Readonly<Record<string, Json>> | null;
  readonly idempotencyKey: string | null;
  /** Evidence of somebody who acts for the caller. */
  readonly actor?: Evidence;
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
  readonly use?: LeaseUse['verdict'];
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
  /** What purpose and ticket must look like, as globs; empty: nothing is demanded. */
  readonly purposePatterns: readonly string[];
  readonly ticketPatterns: readonly string[];
  readonly needsApproval: boolean;
  readonly breakGlass: boolean;
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
    readonly actors?: readonly Pick<ActingParty, 'issuer' | 'subject' | 'claims'>[] | undefined;
  } | null;
  readonly token: string | null;
  /** A token of somebody who acts for the identity. */
  readonly actorToken?: string;
  readonly task: string | null;
  readonly purpose: string | null;
  readonly ticket: string | null;
  readonly parameters: Readonly<Record<string, Json>>;
  readonly credentials: readonly string[] | null;
  readonly ttlSeconds: number | null;
}

export interface Explanation {
  readonly identity: {
    readonly issuer: string;
    readonly subject: string;
    readonly actors?: readonly { readonly issuer: string; readonly subject: string }[] | undefined;
  } | null;
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

/** A request, and how far its approvals have come by the rule as it is now. */
export interface RequestView {
  readonly request: RequestRow;
  /** The humans that whoever asks is or acts for. */
  readonly onBehalfOf: readonly string[];
  /** The stage that waits, from 0; null: none. */
  readonly waitingStage: number | null;
  /** How many approvals each stage takes, as conditions have it now. */
  readonly stages: readonly number[];
  /** The condition that approves by itself, as it stands now; null: none. */
  readonly automatic: string | null;
}

export interface ApproveAsk {
  /** Of what the approver saw. */
  readonly digest: string;
  /** The longest lifetime that he allows; null: what was asked. */
  readonly ttlSeconds: number | null;
}

/**
 * What to kill: all members that are there must fit, issuer and subject those whose it is or who acts for them. `all` takes
 * their place, so that nothing is killed by leaving out.
 */
export interface KillAsk {
  readonly issuer: string | null;
  readonly subject: string | null;
  readonly grant: string | null;
  readonly target: string | null;
  readonly task: string | null;
  readonly all: boolean;
  readonly reason: string;
  /** After how long its block is lifted by itself; absent: when somebody lifts it. */
  readonly blockSeconds?: number;
}

/** A kill and what is left of it. */
export interface KillProgress {
  readonly kill: KillRow;
  readonly rest: readonly (KillRest & {
    /** What cannot be withdrawn at this target, and so lapses at its expiry. */
    readonly expiryOnly: boolean;
  })[];
}

type Answer<T> = Promise<Result<T, Refusal>>;

/**
 * What the broker does for its borders (HTTP and the reaper). Every verb checks the caller's right itself, writes
 * its refusals to the log, and throws only on bugs and on an unavailable store.
 */
export interface Verbs {
  /** Who is it? A task's token, or evidence for an attestor. `request` names what it was wanted for, in the log. */
  identify(evidence: Evidence, request: string, presented?: Presented): Answer<Caller>;
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
  /** What a task's token is good for, for its holder, operators and auditors; null when it is good for nothing. */
  introspect(
    caller: Caller,
    token: string,
  ): Answer<{ readonly task: TaskRow; readonly leases: readonly LeaseRow[] } | null>;
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
  /** Requests that wait for approval or have it, as far as the caller may see them. */
  listRequests(caller: Caller): Answer<readonly RequestView[]>;
  readRequest(caller: Caller, id: string): Answer<RequestView>;
  approveRequest(caller: Caller, id: string, ask: ApproveAsk): Answer<RequestView>;
  denyRequest(caller: Caller, id: string, reason: string): Answer<RequestView>;
  cancelRequest(caller: Caller, id: string, reason: string): Answer<RequestView>;
  /** Reviews of break-glass that nobody has closed, as far as the caller may see them. */
  listReviews(caller: Caller): Answer<readonly ReviewRow[]>;
  readReview(caller: Caller, id: string): Answer<ReviewRow>;
  /** By somebody whom the grant names for it, and never by the person whom the review is about. */
  closeReview(caller: Caller, id: string, finding: string): Answer<ReviewRow>;
  /** For operators: ends all that matches, and keeps it out until the block is lifted. Answers when all of it is due. */
  kill(caller: Caller, ask: KillAsk): Answer<KillProgress>;
  readKill(caller: Caller, id: string): Answer<KillProgress>;
  listBlocks(caller: Caller): Answer<readonly KillRow[]>;
  liftBlock(caller: Caller, id: string, reason: string): Answer<KillRow>;
  availableGrants(caller: Caller): Answer<readonly AvailableGrant[]>;
  explain(caller: Caller, ask: Explain): Answer<Explanation>;
  createTaskGrant(caller: Caller, ask: CreateTaskGrant): Answer<TaskGrantRow>;
  readTaskGrant(caller: Caller, id: string): Answer<TaskGrantRow>;
  /** One event of a cloud's audit trail; answers how many leases it shows in use. See broker/trail.ts. */
  deliverTrail(name: string, bearer: TrailBearer, body: unknown): Answer<number>;
  readAudit(
    caller: Caller,
    filter: AuditFilter,
    page: Page,
  ): Answer<{ readonly events: readonly AuditEvent[]; readonly nextCursor: string | null }>;
}
