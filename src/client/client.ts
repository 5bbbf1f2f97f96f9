import type {
  ApprovalRequest,
  AuditPage,
  AuditQuery,
  AvailableGrant,
  AwaitingApproval,
  CreateTaskGrantRequest,
  ExplainRequest,
  Explanation,
  Kill,
  KillProgress,
  KillRequest,
  KitResponse,
  Lease,
  LeasePage,
  LeasesQuery,
  OpenTaskRequest,
  OpenTaskResponse,
  Receipts,
  RegisterKitRequest,
  ReplayKitResponse,
  Review,
  TaskGrant,
  TaskPage,
  TasksQuery,
  TaskWithLeases,
} from '../http/contract.ts';
import { createProofKey } from './dpop.ts';
import { HallpassProblem } from './problem.ts';
import { createSealKey } from './sealed.ts';
import { completeTask, createHandle, type KnownTask, openedHandle, type TaskHandle } from './task.ts';
import { type Call, createTransport, type Transport, type TransportOptions } from './transport.ts';
import { waitFor } from './wait.ts';

// What a service imports as `hallpass/client` is here, in one place.
export type { Lease, OpenTaskRequest, Secret, Task, TaskWithLeases } from '../http/contract.ts';
export { type KeepEvent, type KeepOptions, type Kept, keepTask } from './keep.ts';
export { HallpassProblem, HallpassUnreachable } from './problem.ts';
export type { Credential, TaskHandle } from './task.ts';

export interface ClientOptions extends TransportOptions {
  /** Proves who calls. Asked for each attempt, so that it is always fresh. */
  readonly token: () => Promise<string>;
  /** Binds each task's token to a key that never leaves this process: a stolen token is then useless. `url` must be the broker's own name for itself. */
  readonly dpop?: true;
}

export interface OpenOptions {
  /** The name of this request, so that it can be repeated by another process; made up when left out. */
  readonly idempotencyKey?: string;
  /** Receives the secrets in the clear of the connection: a lost answer then costs a task. */
  readonly unsealed?: boolean;
  /** Stops the repetitions; a request that is under way is waited for. */
  readonly signal?: AbortSignal;
  /** Called once if the task waits for approval; `openTask` goes on waiting. */
  readonly onAwaiting?: (request: ApprovalRequest) => void;
}

/** Everything that the broker does, typed. All methods reject with `HallpassProblem` or `HallpassUnreachable`. */
export interface Client {
  /** Opens a task. The secrets come sealed for a key of this call, so that repeating it is safe. */
  openTask(request: Omit<OpenTaskRequest, 'public_key'>, options?: OpenOptions): Promise<TaskHandle>;
  /** The handle of a task that another process opened: to beat, renew and complete. It reads no fresh secrets. */
  resumeTask(known: KnownTask): TaskHandle;
  completeTask(id: string, exitStatus?: number): Promise<TaskWithLeases>;
  readTask(id: string): Promise<TaskWithLeases>;
  listTasks(query?: TasksQuery): Promise<TaskPage>;
  readLease(id: string): Promise<Lease>;
  listLeases(query?: LeasesQuery): Promise<LeasePage>;
  renewLease(id: string, ttlSeconds?: number): Promise<Lease>;
  revokeLease(id: string, reason: string): Promise<Lease>;
  /** Requests that wait or were approved: one's own, and those that one may approve. */
  requests(): Promise<readonly ApprovalRequest[]>;
  readRequest(id: string): Promise<ApprovalRequest>;
  approveRequest(id: string, digest: string, ttlSeconds?: number): Promise<ApprovalRequest>;
  denyRequest(id: string, reason: string): Promise<ApprovalRequest>;
  cancelRequest(id: string, reason: string): Promise<ApprovalRequest>;
  /** Reviews of break-glass that nobody has closed: of one's own uses, and those that one may close. */
  reviews(): Promise<readonly Review[]>;
  readReview(id: string): Promise<Review>;
  closeReview(id: string, finding: string): Promise<Review>;
  kill(request: KillRequest): Promise<KillProgress>;
  readKill(id: string): Promise<KillProgress>;
  blocks(): Promise<readonly Kill[]>;
  liftBlock(id: string, reason: string): Promise<Kill>;
  grants(): Promise<readonly AvailableGrant[]>;
  explain(request: ExplainRequest): Promise<Explanation>;
  createTaskGrant(request: CreateTaskGrantRequest): Promise<TaskGrant>;
  readTaskGrant(id: string): Promise<TaskGrant>;
  registerKit(request: RegisterKitRequest): Promise<KitResponse['kit']>;
  /** Entries of a kit's log, each with its proof. Sending them again changes nothing. */
  replayKit(id: string, proofs: readonly string[]): Promise<ReplayKitResponse>;
  audit(query?: AuditQuery): Promise<AuditPage>;
  /** Proofs of what the log says of a lease. Empty until it is sequenced: within a second. */
  receipts(leaseId: string): Promise<Receipts['receipts']>;
}

/** A client of one broker for one identity. Holds no connection of its own. */
export function createClient(options: ClientOptions): Client {
  const transport = createTransport(options);
  const { token, dpop, sleep = waitFor } = options;
  const get = <T>(path: string, query: Call['query'] = {}) =>
    transport<T>({ method: 'GET', path, query, token, repeat: 'always' });
  const post = <T>(path: string, body: unknown, repeat: Call['repeat']) =>
    transport<T>({ method: 'POST', path, body, token, repeat });
  const at = (id: string) => encodeURIComponent(id);
  const decide = async (id: string, what: string, body: unknown) =>
    (await post<{ request: ApprovalRequest }>(`/v1/requests/${at(id)}/${what}`, body, 'refused')).request;
  return {
    async openTask(
      request,
      { idempotencyKey = crypto.randomUUID(), unsealed = false, signal, onAwaiting } = {},
    ) {
      const key = unsealed ? null : await createSealKey();
      const proof = dpop ? await createProofKey() : undefined;
      const open = (body: OpenTaskRequest, name: string) =>
        transport<OpenTaskResponse | AwaitingApproval>({
          method: 'POST',
          path: '/v1/tasks',
          body: key ? { ...body, public_key: key.publicKey } : body,
          headers: { 'idempotency-key': name },
          token,
          proof,
          repeat: 'always',
          signal,
        });
      const opened = await waitUntilOpen(request, open, idempotencyKey, {
        sleep: (ms) => sleep(ms, signal),
        onAwaiting,
      });
      const bound: Transport = proof ? (call) => transport({ ...call, proof, bound: true }) : transport;
      return openedHandle(bound, opened, key);
    },
    resumeTask: (known) => createHandle(transport, known, null),
    completeTask: (id, exitStatus) => completeTask(transport, at(id), token, exitStatus),
    readTask: (id) => get(`/v1/tasks/${at(id)}`),
    listTasks: (query) => get('/v1/tasks', query),
    readLease: async (id) => (await get<{ lease: Lease }>(`/v1/leases/${at(id)}`)).lease,
    listLeases: (query) => get('/v1/leases', query),
    async renewLease(id, ttlSeconds) {
      const body = ttlSeconds === undefined ? {} : { ttl_seconds: ttlSeconds };
      return (await post<{ lease: Lease }>(`/v1/leases/${at(id)}/renew`, body, 'always')).lease;
    },
    revokeLease: async (id, reason) =>
      (await post<{ lease: Lease }>(`/v1/leases/${at(id)}/revoke`, { reason }, 'always')).lease,
    requests: async () => (await get<{ requests: ApprovalRequest[] }>('/v1/requests')).requests,
    readRequest: async (id) => (await get<{ request: ApprovalRequest }>(`/v1/requests/${at(id)}`)).request,
    approveRequest: (id, digest, ttlSeconds) =>
      decide(id, 'approve', { digest, ...(ttlSeconds === undefined ? {} : { ttl_seconds: ttlSeconds }) }),
    denyRequest: (id, reason) => decide(id, 'deny', { reason }),
    cancelRequest: (id, reason) => decide(id, 'cancel', { reason }),
    reviews: async () => (await get<{ reviews: Review[] }>('/v1/reviews')).reviews,
    readReview: async (id) => (await get<{ review: Review }>(`/v1/reviews/${at(id)}`)).review,
    closeReview: async (id, finding) =>
      (await post<{ review: Review }>(`/v1/reviews/${at(id)}/close`, { finding }, 'refused')).review,
    kill: (request) => post('/v1/kills', request, 'always'),
    readKill: (id) => get(`/v1/kills/${at(id)}`),
    blocks: async () => (await get<{ blocks: Kill[] }>('/v1/blocks')).blocks,
    liftBlock: async (id, reason) =>
      (await post<{ kill: Kill }>(`/v1/blocks/${at(id)}/lift`, { reason }, 'always')).kill,
    grants: async () => (await get<{ grants: AvailableGrant[] }>('/v1/grants')).grants,
    explain: (request) => post('/v1/explain', request, 'always'),
    createTaskGrant: async (request) =>
      (await post<{ task_grant: TaskGrant }>('/v1/task-grants', request, 'refused')).task_grant,
    readTaskGrant: async (id) =>
      (await get<{ task_grant: TaskGrant }>(`/v1/task-grants/${at(id)}`)).task_grant,
    registerKit: async (request) => (await post<KitResponse>('/v1/kits', request, 'refused')).kit,
    replayKit: (id, proofs) => post(`/v1/kits/${at(id)}/entries`, { proofs }, 'always'),
    audit: (query) => get('/v1/audit', query),
    receipts: async (id) => (await get<Receipts>(`/v1/leases/${at(id)}/receipt`)).receipts,
  };
}

type Wish = Omit<OpenTaskRequest, 'public_key'>;

/** Opens, as often as the broker says, until what waits for approval, or for its start, is open. */
async function waitUntilOpen(
  request: Wish,
  open: (body: Wish, name: string) => Promise<OpenTaskResponse | AwaitingApproval>,
  idempotencyKey: string,
  {
    sleep,
    onAwaiting,
  }: {
    readonly sleep: (ms: number) => Promise<void>;
    readonly onAwaiting: OpenOptions['onAwaiting'] | undefined;
  },
): Promise<OpenTaskResponse> {
  let asked: ApprovalRequest | null = null;
  for (;;) {
    const waitMs = await openOnce(asked).catch(untilItsStart);
    if (typeof waitMs !== 'number') return waitMs;
    await sleep(waitMs);
  }

  async function openOnce(before: ApprovalRequest | null): Promise<OpenTaskResponse | number> {
    const answer = await (before === null
      ? open(request, idempotencyKey)
      : open({ ...request, request: before.id }, `${idempotencyKey.slice(0, 150)}.${before.id}`));
    if (!('request' in answer)) return answer;
    if (asked === null) onAwaiting?.(answer.request);
    asked = answer.request;
    return answer.interval * 1000;
  }
}

/** In how many milliseconds what was approved for later may be opened. */
function untilItsStart(error: unknown): number {
  if (!(error instanceof HallpassProblem) || error.code !== 'too-early') throw error;
  return (error.retryAfterSeconds ?? 1) * 1000;
}
