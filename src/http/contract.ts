import { z } from 'zod';

/**
 * The API: every request and answer under `/v1`. Servers, clients, the OpenAPI document and the console all read it
 * from here. It imports zod alone. Instants are RFC 3339 in UTC with milliseconds; durations are whole seconds.
 */

type JsonValue = string | number | boolean | null | JsonValue[] | { [member: string]: JsonValue };

// By name, so that the document can refer to it: a recursive schema without a name has no end there.
const json: z.ZodType<JsonValue> = z
  .lazy(() =>
    z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(json), z.record(z.string(), json)]),
  )
  .meta({ id: 'Json', description: 'Any JSON value' });
const instant = z.iso.datetime({ precision: 3 });
const id = z
  .string()
  .regex(/^[0-7][0-9a-hjkmnp-tv-z]{25}$/)
  .meta({ description: 'An identifier that the broker made: 26 characters, sorted by time' });
const name = z.string().min(1).max(200);
const ticket = z.string().min(1).max(200);

/** The members of a path. */
export const idParams = z.strictObject({ id });

/** `Idempotency-Key`: the client's own name for one request, printable ASCII. */
export const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,200}$/)
  .meta({ description: 'Repeating a request with the same key never makes a second credential' });

/** For requests that carry nothing. */
export const emptyRequest = z.strictObject({});

export const leaseState = z.enum(['minting', 'active', 'ending', 'ended']);
export const useVerdict = z.enum(['used', 'maybe-used', 'not-seen', 'unknown']);
export const outcome = z.enum(['revoked', 'denied', 'expired', 'never-minted']);
export const endReason = z.enum([
  'completed',
  'expired',
  'heartbeat-missed',
  'mint-failed',
  'abandoned',
  'revoked',
  'killed',
  'withdrawn',
]);

export const identity = z.object({ issuer: z.string(), subject: z.string() });

export const leaseUse = z
  .object({
    verdict: useVerdict.meta({
      description:
        '`maybe-used`: this or another that the target does not tell from it; `not-seen` and `unknown` are said at the end',
    }),
    first_seen_at: instant.optional(),
    last_seen_at: instant.optional(),
    places: z
      .array(z.object({ address: z.string().nullable(), application: z.string().nullable() }))
      .optional()
      .meta({ description: 'From where it was used, and by what, as far as the target shows it' }),
    more_places: z.boolean().optional(),
    looked_every_seconds: z.int().optional(),
    why: z.string().optional().meta({ description: 'Why it is unknown' }),
  })
  .meta({ id: 'LeaseUse', description: 'What is known of the use of a credential' });

export const lease = z
  .object({
    id,
    task: id,
    credential: z.string().meta({ description: 'The name of the credential in its grant' }),
    grant: z.string(),
    target: z.string(),
    provider: z.string(),
    name: z.string().meta({ description: 'The name of the credential at its target' }),
    identity,
    state: leaseState,
    created_at: instant,
    issued_at: instant.nullable(),
    expires_at: instant,
    cap_at: instant.meta({ description: 'Renewals end here' }),
    due_at: instant.nullable().meta({ description: 'When the reaper looks at it next' }),
    ending_since: instant.nullable(),
    end_reason: endReason.nullable(),
    attempts: z.int().meta({ description: 'Attempts to end it that were begun' }),
    last_error: z.string().nullable(),
    overdue: z.boolean().meta({ description: 'It should have ended, and has not' }),
    ended_at: instant.nullable(),
    outcome: outcome.nullable(),
    evidence: json.meta({ description: 'What the target confirmed at the end' }),
    use: leaseUse.nullable(),
  })
  .meta({ id: 'Lease' });

export const task = z
  .object({
    id,
    grant: z.string(),
    grant_version: z.string(),
    task_grant: id.nullable(),
    name: z.string(),
    purpose: z.string().nullable(),
    ticket: z.string().nullable(),
    parameters: z.record(z.string(), json),
    identity,
    actors: z.array(identity).optional().meta({ description: 'Who acts for it, the nearest first' }),
    cnf: z
      .object({ jkt: z.string().optional(), 'x5t#S256': z.string().optional() })
      .optional()
      .meta({ description: 'What the holder of the token must prove to hold (RFC 7800)' }),
    practice: z.boolean().meta({ description: 'A rehearsal: nothing was minted for it' }),
    state: z.enum(['open', 'ended']),
    opened_at: instant,
    expires_at: instant.meta({ description: 'The task cannot live longer than this, whatever is renewed' }),
    heartbeat_seconds: z.int().nullable().meta({ description: 'Silence for longer ends the task' }),
    heartbeat_due_at: instant.nullable(),
    ended_at: instant.nullable(),
    end_reason: endReason.nullable(),
    exit_status: z.int().nullable(),
  })
  .meta({ id: 'Task' });

export const secret = z
  .object({
    type: z.string().meta({ description: 'What it is: `postgres`, `aws`, ...' }),
    values: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Secret' });

export const issuedCredential = z
  .object({
    name: z.string(),
    lease,
    secret: secret.optional(),
    sealed: z
      .string()
      .optional()
      .meta({ description: 'The secret as a compact JWE for the key of the request' }),
  })
  .meta({ id: 'IssuedCredential' });

export const openTaskRequest = z
  .strictObject({
    grant: name,
    task: name.meta({ description: 'The name of the run: what the grant calls a task' }),
    purpose: z.string().min(1).max(1000).optional(),
    ticket: ticket.optional().meta({ description: 'The ticket that it is for, by its name' }),
    parameters: z.record(z.string().max(100), json).optional(),
    credentials: z
      .array(name)
      .min(1)
      .max(20)
      .optional()
      .meta({ description: 'All of the grant when left out' }),
    ttl_seconds: z.int().min(1).max(31_536_000).optional(),
    task_grant: id.optional(),
    practice: z.literal(true).optional().meta({
      description: 'Rehearses a break-glass grant: all of it, and nothing is minted',
    }),
    not_before: instant.optional().meta({
      description:
        'When it is to start, at the earliest: approved before, it opens from then on. For grants that ask for approval',
    }),
    request: id
      .optional()
      .meta({ description: 'The approved request that this opens, asked for in the same words' }),
    actor_token: z.string().max(16_384).optional().meta({
      description:
        'The token of somebody who acts for the caller (RFC 8693). The grant must name him as `actor`',
    }),
    public_key: z.record(z.string(), json).optional().meta({
      description:
        'A public JWK (EC P-256, P-384, P-521, X25519, or RSA of 2048 bits and more). The secrets then come as JWE for it, and come again on a retry',
    }),
  })
  .meta({ id: 'OpenTaskRequest' });

export const openTaskResponse = z
  .object({
    task,
    token: z.string().optional().meta({ description: 'The bearer token for everything about this task' }),
    sealed_token: z.string().optional(),
    credentials: z.array(issuedCredential),
  })
  .meta({ id: 'OpenTaskResponse' });

export const addCredentialsRequest = z
  .strictObject({
    credentials: z.array(name).min(1).max(20),
    ttl_seconds: z.int().min(1).max(31_536_000).optional(),
  })
  .meta({ id: 'AddCredentialsRequest' });

export const addCredentialsResponse = z
  .object({ task, credentials: z.array(issuedCredential) })
  .meta({ id: 'AddCredentialsResponse' });

export const heartbeatResponse = z.object({ task }).meta({ id: 'HeartbeatResponse' });

export const completeTaskRequest = z
  .strictObject({ exit_status: z.int().min(0).max(255).optional() })
  .meta({ id: 'CompleteTaskRequest' });

export const taskWithLeases = z.object({ task, leases: z.array(lease) }).meta({ id: 'TaskWithLeases' });

export const renewLeaseRequest = z
  .strictObject({ ttl_seconds: z.int().min(1).max(31_536_000).optional() })
  .meta({ id: 'RenewLeaseRequest' });

export const revokeLeaseRequest = z
  .strictObject({ reason: z.string().min(1).max(1000) })
  .meta({ id: 'RevokeLeaseRequest' });

export const leaseResponse = z.object({ lease }).meta({ id: 'LeaseResponse' });

const page = {
  cursor: z.string().max(200).optional().meta({ description: 'From `next_cursor` of the page before' }),
  limit: z.coerce.number().int().min(1).max(500).optional(),
};

export const listLeasesQuery = z.strictObject({
  state: leaseState.optional(),
  live: z.enum(['true', 'false']).optional().meta({ description: 'Whether it has not ended' }),
  overdue: z.enum(['true']).optional(),
  outcome: outcome.optional(),
  use: useVerdict.optional().meta({ description: 'What is known of its use' }),
  task: id.optional(),
  grant: name.optional(),
  target: name.optional(),
  issuer: name.optional(),
  subject: z.string().max(2048).optional(),
  ...page,
});

export const leasePage = z
  .object({ leases: z.array(lease), next_cursor: z.string().nullable() })
  .meta({ id: 'LeasePage' });

export const listTasksQuery = z.strictObject({
  state: z.enum(['open', 'ended']).optional(),
  grant: name.optional(),
  issuer: name.optional(),
  subject: z.string().max(2048).optional(),
  ...page,
});

export const taskPage = z
  .object({ tasks: z.array(task), next_cursor: z.string().nullable() })
  .meta({ id: 'TaskPage' });

export const availableGrant = z
  .object({
    name: z.string(),
    version: z.string(),
    description: z.string().nullable(),
    tasks: z.array(z.string()),
    purpose: z.enum(['required', 'optional']),
    purpose_patterns: z
      .array(z.string())
      .meta({ description: 'What a purpose must look like, as globs; empty: anything will do' }),
    ticket_patterns: z
      .array(z.string())
      .meta({ description: 'What the ticket must look like that it needs; empty: it needs none' }),
    needs_approval: z.boolean(),
    break_glass: z.boolean().meta({ description: 'For emergencies: each use is told at once, and reviewed' }),
    credentials: z.array(
      z.object({
        name: z.string(),
        target: z.string(),
        provider: z.string(),
        default_ttl_seconds: z.int(),
        max_ttl_seconds: z.int(),
      }),
    ),
    parameters: z.array(z.object({ name: z.string(), required: z.boolean() })),
  })
  .meta({ id: 'AvailableGrant' });

export const availableGrants = z.object({ grants: z.array(availableGrant) }).meta({ id: 'AvailableGrants' });

export const explainRequest = z
  .strictObject({
    grant: name.optional().meta({ description: 'All grants when left out' }),
    identity: z
      .strictObject({
        issuer: name,
        subject: z.string().max(2048),
        claims: z.record(z.string(), json),
        actors: z
          .array(
            z.strictObject({
              issuer: name,
              subject: z.string().max(2048),
              claims: z.record(z.string(), json),
            }),
          )
          .max(3)
          .optional(),
      })
      .optional(),
    token: z
      .string()
      .max(16_384)
      .optional()
      .meta({ description: 'A token to verify and explain, in place of `identity`' }),
    actor_token: z
      .string()
      .max(16_384)
      .optional()
      .meta({ description: 'The token of somebody who acts for the identity' }),
    task: name.optional(),
    purpose: z.string().max(1000).optional(),
    ticket: ticket.optional(),
    parameters: z.record(z.string().max(100), json).optional(),
    credentials: z.array(name).max(20).optional(),
    ttl_seconds: z.int().min(1).optional(),
  })
  .meta({ id: 'ExplainRequest' });

export const explanation = z
  .object({
    identity: identity.extend({ actors: z.array(identity).optional() }).nullable(),
    token: z.object({ ok: z.boolean(), reason: z.string(), detail: z.string() }).nullable(),
    grants: z.array(
      z.object({
        grant: z.string(),
        allowed: z.boolean(),
        checks: z.array(
          z.object({ subject: z.string(), ok: z.boolean(), expected: z.string(), actual: z.string() }),
        ),
      }),
    ),
  })
  .meta({ id: 'Explanation' });

export const createTaskGrantRequest = z
  .strictObject({
    grant: name,
    task: name,
    parameters: z.record(z.string().max(100), json).optional(),
    credentials: z.array(name).min(1).max(20).optional(),
    max_ttl_seconds: z.int().min(1).optional(),
    subject: z.strictObject({ issuer: name, subject: z.string().min(1).max(2048) }).optional(),
    expires_in_seconds: z.int().min(1),
    uses: z.int().min(1),
  })
  .meta({ id: 'CreateTaskGrantRequest' });

export const taskGrant = z
  .object({
    id,
    grant: z.string(),
    grant_version: z.string(),
    task: z.string(),
    parameters: z.record(z.string(), json),
    credentials: z.array(z.string()).nullable(),
    max_ttl_seconds: z.int().nullable(),
    subject: identity.nullable(),
    created_by: identity,
    created_at: instant,
    expires_at: instant,
    uses: z.int(),
    used: z.int(),
  })
  .meta({ id: 'TaskGrant' });

const holders = z.array(z.string().min(1).max(200)).min(2).max(20);

export const registerKitRequest = z
  .strictObject({
    id,
    log_key: z
      .string()
      .regex(/^[A-Za-z0-9+/]{43}=$/)
      .meta({ description: "The Ed25519 key that signs the kit's own log, base64" }),
    threshold: z.int().min(2).max(20),
    holders: holders.meta({ description: 'Whose the codes are, in their order' }),
    grants: z.array(name).min(1).max(50),
    expires_at: instant,
  })
  .meta({ id: 'RegisterKitRequest' });

export const kitResponse = z
  .object({
    kit: z.object({
      id,
      sealed_at: instant,
      sealed_by: identity,
      threshold: z.int(),
      holders: z.array(z.string()),
      grants: z.array(z.string()),
      expires_at: instant,
    }),
  })
  .meta({ id: 'KitResponse' });

export const replayKitRequest = z
  .strictObject({
    proofs: z.array(z.string().min(1).max(65_536)).min(1).max(100).meta({
      description: "Entries of the kit's log, each as a C2SP tlog-proof with the entry as extra data",
    }),
  })
  .meta({ id: 'ReplayKitRequest' });

export const replayKitResponse = z
  .object({
    replayed: z.int().meta({ description: 'Entries that are in the log from now on' }),
    known: z.int().meta({ description: 'Entries that were in it before' }),
    codes_reused: z.array(z.object({ code: z.int(), holder: z.string() })),
  })
  .meta({ id: 'ReplayKitResponse' });

export const taskGrantResponse = z.object({ task_grant: taskGrant }).meta({ id: 'TaskGrantResponse' });

export const approvalRequest = z
  .object({
    id,
    state: z.enum(['pending', 'approved', 'denied', 'expired', 'cancelled', 'redeemed']),
    digest: z.string().meta({ description: 'Of exactly what was asked: an approval names it' }),
    grant: z.string(),
    grant_version: z.string(),
    identity,
    on_behalf_of: z.array(z.string()).meta({ description: 'The humans that the identity is or acts for' }),
    task: z.string(),
    purpose: z.string().nullable(),
    ticket: z.string().nullable(),
    parameters: z.record(z.string(), json),
    task_grant: id.nullable(),
    credentials: z.array(
      z.object({
        name: z.string(),
        target: z.string(),
        scope: json,
        ttl_seconds: z.int(),
        cap_seconds: z.int(),
      }),
    ),
    approvals: z.array(z.object({ by: identity, at: instant, ttl_seconds: z.int().nullable() })),
    stages: z.array(z.int()).meta({
      description: 'How many approvals each stage takes; 0 where a condition says that it takes none',
    }),
    auto_approved_by: z
      .string()
      .nullable()
      .meta({ description: 'The condition of the grant that approves by itself, as it stands now' }),
    practice: z.boolean().meta({ description: 'A rehearsal: what it opens mints nothing' }),
    not_before: instant.nullable().meta({ description: 'It can be opened from then on' }),
    waiting_stage: z.int().nullable().meta({ description: 'The stage that waits, from 0' }),
    created_at: instant,
    expires_at: instant,
    reason: z.string().nullable().meta({ description: 'Why it was denied or cancelled' }),
    opened: id.nullable().meta({ description: 'The task that it opened' }),
  })
  .meta({ id: 'ApprovalRequest' });

export const awaitingApproval = z
  .object({
    request: approvalRequest,
    interval: z.int().meta({ description: 'Seconds to wait between two looks' }),
    expires_at: instant,
  })
  .meta({ id: 'AwaitingApproval' });

export const approvalRequestResponse = z
  .object({ request: approvalRequest })
  .meta({ id: 'ApprovalRequestResponse' });

export const approvalRequests = z
  .object({ requests: z.array(approvalRequest) })
  .meta({ id: 'ApprovalRequests' });

export const approveRequest = z
  .strictObject({
    digest: z.string().min(1).max(100).meta({ description: 'Of what was seen and is approved' }),
    ttl_seconds: z
      .int()
      .min(1)
      .max(31_536_000)
      .optional()
      .meta({ description: 'The longest lifetime allowed' }),
  })
  .meta({ id: 'ApproveRequest' });

export const reasonRequest = z
  .strictObject({ reason: z.string().min(1).max(1000) })
  .meta({ id: 'ReasonRequest' });

export const review = z
  .object({
    id,
    state: z.enum(['open', 'due', 'closed']),
    overdue: z
      .boolean()
      .meta({ description: 'It keeps its person from break-glass until somebody else has closed it' }),
    practice: z.boolean().meta({ description: 'Of a rehearsal' }),
    grant: z.string(),
    task: id.meta({ description: 'The use that it is about' }),
    identity,
    people: z.array(z.string()).meta({ description: 'Whose identity that is' }),
    purpose: z.string(),
    ticket: z.string().nullable(),
    opened_at: instant,
    due_at: instant,
    closed_at: instant.nullable(),
    closed_by: identity.nullable(),
    finding: z.string().nullable(),
  })
  .meta({ id: 'Review' });

export const reviewResponse = z.object({ review }).meta({ id: 'ReviewResponse' });

export const reviews = z.object({ reviews: z.array(review) }).meta({ id: 'Reviews' });

export const closeReviewRequest = z
  .strictObject({ finding: z.string().min(1).max(2000).regex(/\S/).meta({ description: 'What was found' }) })
  .meta({ id: 'CloseReviewRequest' });

export const killRequest = z
  .strictObject({
    issuer: name.optional(),
    subject: z.string().min(1).max(2048).optional().meta({ description: 'With its `issuer`' }),
    grant: name.optional(),
    target: name.optional(),
    task: id.optional(),
    all: z.literal(true).optional().meta({ description: 'In place of all others' }),
    reason: z.string().min(1).max(1000),
    block_seconds: z.int().min(1).max(31_536_000).optional().meta({
      description: 'After how long its block is lifted by itself; without it, when somebody lifts it',
    }),
  })
  .meta({ id: 'KillRequest' });

export const kill = z
  .object({
    id,
    ordered_at: instant,
    ordered_by: identity,
    reason: z.string(),
    issuer: z.string().nullable(),
    subject: z.string().nullable(),
    grant: z.string().nullable(),
    target: z.string().nullable(),
    task: id.nullable(),
    tasks: z.int().meta({ description: 'Tasks that it made due' }),
    leases: z.int().meta({ description: 'Leases that it made due' }),
    marked_at: instant.nullable().meta({ description: 'When all that it matches had been made due' }),
    lifted_at: instant.nullable().meta({ description: 'It keeps out what it matches until then' }),
    lifts_at: instant
      .nullable()
      .meta({ description: 'When it is lifted by itself; null: when somebody does' }),
    lifted_by: identity.nullable(),
    lift_reason: z.string().nullable(),
  })
  .meta({ id: 'Kill' });

export const killProgress = z
  .object({
    kill,
    left: z.int().meta({ description: 'Leases that it matches, were killed, and have not ended' }),
    rest: z.array(
      z.object({
        target: z.string(),
        left: z.int(),
        failing: z.int().meta({ description: 'Those whose ending failed at least once, and goes on' }),
        latest_expiry: instant,
        expiry_only: z
          .boolean()
          .meta({ description: 'What cannot be withdrawn at this target, and lapses at its expiry' }),
      }),
    ),
  })
  .meta({ id: 'KillProgress' });

export const blocks = z.object({ blocks: z.array(kill) }).meta({ id: 'Blocks' });

export const liftBlockRequest = z
  .strictObject({ reason: z.string().min(1).max(1000) })
  .meta({ id: 'LiftBlockRequest' });

export const killResponse = z.object({ kill }).meta({ id: 'KillResponse' });

export const trailParams = z.object({ name });

export const trailAnswer = z
  .object({ leases: z.int().meta({ description: 'Leases that the event shows in use' }) })
  .meta({ id: 'TrailAnswer' });

export const auditQuery = z.strictObject({
  task: id.optional(),
  lease: id.optional(),
  grant: name.optional(),
  target: name.optional(),
  issuer: name.optional(),
  subject: z.string().max(2048).optional(),
  kind: z.string().max(60).optional(),
  outcome: outcome.optional().meta({ description: 'Events of leases that ended so' }),
  since: instant.optional(),
  until: instant.optional(),
  order: z.enum(['oldest', 'newest']).optional(),
  ...page,
});

export const auditEvent = z
  .looseObject({ v: z.int(), id, at: instant, kind: z.string() })
  .meta({ id: 'AuditEvent' });

export const auditPage = z
  .object({ events: z.array(auditEvent), next_cursor: z.string().nullable() })
  .meta({ id: 'AuditPage' });

export const receipts = z
  .object({
    receipts: z.array(
      z.object({
        kind: z.string(),
        index: z.int().meta({ description: 'Its place in the log' }),
        proof: z
          .string()
          .meta({ description: 'C2SP tlog-proof; its extra data is the event as it was logged' }),
      }),
    ),
  })
  .meta({ id: 'Receipts' });

export const signIn = z
  .object({
    issuer: z.string().meta({ description: 'The OpenID provider, as it names itself' }),
    client_id: z.string(),
    scope: z.string(),
  })
  .meta({ id: 'SignIn' });

export const health = z.object({ status: z.literal('ok'), version: z.string() }).meta({ id: 'Health' });

export const readiness = z
  .object({ ready: z.boolean(), reasons: z.array(z.string()).meta({ description: 'Why it is not' }) })
  .meta({ id: 'Readiness' });

/** The stable codes of problems. Clients branch on these. */
export const problemCodes = [
  'invalid-request',
  'unauthenticated',
  'fallback-closed',
  'invalid-proof',
  'use-nonce',
  'not-allowed',
  'not-found',
  'conflict',
  'in-progress',
  'already-delivered',
  'idempotency-key-reused',
  'task-ended',
  'too-early',
  'review-overdue',
  'lease-ended',
  'cannot-renew',
  'limit-reached',
  'too-large',
  'unsupported-media-type',
  'rate-limited',
  'overloaded',
  'not-ready',
  'target-unavailable',
  'mint-failed',
  'store-unavailable',
  'internal',
] as const;

/** RFC 9457. */
export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().optional(),
    code: z.enum(problemCodes),
    request_id: z.string().optional(),
    faults: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'Each fault of an invalid request' }),
    retry_after_seconds: z.int().optional(),
  })
  .meta({ id: 'Problem' });

export type Lease = z.infer<typeof lease>;
export type Task = z.infer<typeof task>;
export type Secret = z.infer<typeof secret>;
export type IssuedCredential = z.infer<typeof issuedCredential>;
export type OpenTaskRequest = z.infer<typeof openTaskRequest>;
export type OpenTaskResponse = z.infer<typeof openTaskResponse>;
export type AddCredentialsRequest = z.infer<typeof addCredentialsRequest>;
export type AddCredentialsResponse = z.infer<typeof addCredentialsResponse>;
export type TaskWithLeases = z.infer<typeof taskWithLeases>;
export type AvailableGrant = z.infer<typeof availableGrant>;
export type ExplainRequest = z.infer<typeof explainRequest>;
export type Explanation = z.infer<typeof explanation>;
export type CreateTaskGrantRequest = z.infer<typeof createTaskGrantRequest>;
export type TaskGrant = z.infer<typeof taskGrant>;
export type TaskPage = z.infer<typeof taskPage>;
export type LeasePage = z.infer<typeof leasePage>;
export type ApprovalRequest = z.infer<typeof approvalRequest>;
export type AwaitingApproval = z.infer<typeof awaitingApproval>;
export type Review = z.infer<typeof review>;
export type KillRequest = z.infer<typeof killRequest>;
export type SignIn = z.infer<typeof signIn>;
export type Kill = z.infer<typeof kill>;
export type KillProgress = z.infer<typeof killProgress>;
export type AuditPage = z.infer<typeof auditPage>;
export type Receipts = z.infer<typeof receipts>;
export type TasksQuery = z.infer<typeof listTasksQuery>;
export type LeasesQuery = z.infer<typeof listLeasesQuery>;
export type AuditQuery = z.infer<typeof auditQuery>;
export type RegisterKitRequest = z.infer<typeof registerKitRequest>;
export type KitResponse = z.infer<typeof kitResponse>;
export type ReplayKitResponse = z.infer<typeof replayKitResponse>;
export type Problem = z.infer<typeof problem>;
export type ProblemCode = (typeof problemCodes)[number];
