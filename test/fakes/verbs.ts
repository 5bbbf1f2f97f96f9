import type { EndReason } from '../../src/audit/event.ts';
import type { Refusal } from '../../src/broker/refusal.ts';
import type {
  Caller,
  IssuedCredential,
  KillProgress,
  OpenedTask,
  OpenTask,
  RequestView,
  Role,
  Verbs,
} from '../../src/broker/verbs.ts';
import type { Principal } from '../../src/identity/attestor.ts';
import { digestJson, type Json, sha256 } from '../../src/json.ts';
import type { Secret } from '../../src/providers/provider.ts';
import { err, ok } from '../../src/result.ts';
import { newId, type Runtime } from '../../src/runtime.ts';
import type {
  KillRow,
  LeaseRow,
  RequestRow,
  ReviewRow,
  TaskGrantRow,
  TaskRow,
} from '../../src/store/rows.ts';
import { leaseRow, taskRow } from '../support/rows.ts';

export interface FakeOptions {
  readonly runtime: Runtime;
  /** Asked before each verb: a refusal is answered, a throw is thrown. */
  readonly before?: (verb: string, ...args: readonly unknown[]) => Promise<Refusal | undefined>;
  /** What each credential's secret is; the default is a Postgres login. */
  readonly secretOf?: (credential: string, leaseId: string) => Secret;
  readonly heartbeatSeconds?: number | null;
  /** Seals for the public key of a request. */
  readonly seal?: (text: string, publicKey: Readonly<Record<string, Json>>) => Promise<string>;
}

/** A broker in memory for the borders: it lets everybody do everything with the one grant `reports`. */
export class FakeVerbs implements Verbs {
  readonly tasks = new Map<string, TaskRow>();
  readonly leases = new Map<string, LeaseRow>();
  readonly taskGrants = new Map<string, TaskGrantRow>();
  readonly requests = new Map<string, RequestView>();
  readonly reviews = new Map<string, ReviewRow>();
  readonly kills = new Map<string, KillRow>();
  /** What is left of every kill. */
  killRest: KillProgress['rest'] = [];
  readonly callers = new Map<string, Caller>();
  readonly calls: { readonly verb: string; readonly args: readonly unknown[] }[] = [];
  private readonly opened = new Map<string, OpenedTask>();
  private readonly options: FakeOptions;

  constructor(options: FakeOptions) {
    this.options = options;
  }

  /** A bearer token that proves `subject`. */
  admit(subject: string, roles: readonly Role[] = []): string {
    const token = `t${newId(this.options.runtime)}`;
    this.callers.set(token, { kind: 'principal', principal: principal(subject), roles: new Set(roles) });
    return token;
  }

  private async begin(verb: string, ...args: unknown[]): Promise<Refusal | undefined> {
    this.calls.push({ verb, args });
    return this.options.before?.(verb, ...args);
  }

  async identify(...args: Parameters<Verbs['identify']>) {
    const refusal = await this.begin('identify', ...args);
    if (refusal) return err(refusal);
    const caller = this.callers.get(args[0].kind === 'bearer' ? args[0].token : '');
    return caller
      ? ok(caller)
      : err<Refusal>({ reason: 'unauthenticated', detail: 'nobody knows this token' });
  }

  async openTask(caller: Caller, ask: OpenTask) {
    const refusal = await this.begin('openTask', caller, ask);
    if (refusal) return err(refusal);
    if (ask.grant !== 'reports')
      return err<Refusal>({ reason: 'not-allowed', detail: `no grant "${ask.grant}"` });
    const earlier = ask.idempotencyKey === null ? undefined : this.opened.get(ask.idempotencyKey);
    if (earlier) return ok({ ...earlier, repeated: true });
    const task = this.newTask(caller, ask);
    const token = `k${newId(this.options.runtime)}`;
    this.callers.set(token, { kind: 'task', task, leases: [] });
    const seal = this.options.seal;
    const sealed = ask.publicKey !== null && seal !== undefined;
    const credentials = ask.practice ? [] : await this.issue(task, ask.credentials ?? ['warehouse']);
    const opened: OpenedTask = {
      task,
      token: sealed ? null : token,
      sealedToken: sealed ? await seal(token, ask.publicKey ?? {}) : null,
      credentials,
      repeated: false,
    };
    if (ask.idempotencyKey !== null) this.opened.set(ask.idempotencyKey, opened);
    return ok(opened);
  }

  async addCredentials(...[caller, taskId, ask]: Parameters<Verbs['addCredentials']>) {
    const refusal = await this.begin('addCredentials', caller, taskId, ask);
    if (refusal) return err(refusal);
    const task = this.tasks.get(taskId);
    if (!task) return err<Refusal>({ reason: 'not-found', detail: taskId });
    if (task.state === 'ended') return err<Refusal>({ reason: 'task-ended', detail: taskId });
    return ok({ task, credentials: await this.issue(task, ask.credentials) });
  }

  async heartbeat(caller: Caller, taskId: string) {
    const refusal = await this.begin('heartbeat', caller, taskId);
    if (refusal) return err(refusal);
    const task = this.tasks.get(taskId);
    if (!task) return err<Refusal>({ reason: 'not-found', detail: taskId });
    return task.state === 'open' ? ok(task) : err<Refusal>({ reason: 'task-ended', detail: taskId });
  }

  async completeTask(caller: Caller, taskId: string, exitStatus: number | null) {
    const refusal = await this.begin('completeTask', caller, taskId, exitStatus);
    if (refusal) return err(refusal);
    const task = this.tasks.get(taskId);
    if (!task) return err<Refusal>({ reason: 'not-found', detail: taskId });
    return ok(this.end(task, 'completed', exitStatus));
  }

  async readTask(caller: Caller, taskId: string) {
    const refusal = await this.begin('readTask', caller, taskId);
    if (refusal) return err(refusal);
    const task = this.tasks.get(taskId);
    if (!task) return err<Refusal>({ reason: 'not-found', detail: taskId });
    return ok({ task, leases: this.leasesOf(taskId) });
  }

  async introspect(...[caller, token]: Parameters<Verbs['introspect']>) {
    const refusal = await this.begin('introspect', caller, token);
    if (refusal) return err(refusal);
    const holder = this.callers.get(token);
    return ok(holder?.kind === 'task' ? { task: holder.task, leases: this.leasesOf(holder.task.id) } : null);
  }

  async listTasks(...args: Parameters<Verbs['listTasks']>) {
    const refusal = await this.begin('listTasks', ...args);
    return refusal ? err(refusal) : ok({ tasks: [...this.tasks.values()], nextCursor: null });
  }

  async readLease(caller: Caller, leaseId: string) {
    const refusal = await this.begin('readLease', caller, leaseId);
    if (refusal) return err(refusal);
    const lease = this.leases.get(leaseId);
    return lease ? ok(lease) : err<Refusal>({ reason: 'not-found', detail: leaseId });
  }

  async listLeases(...args: Parameters<Verbs['listLeases']>) {
    const refusal = await this.begin('listLeases', ...args);
    return refusal ? err(refusal) : ok({ leases: [...this.leases.values()], nextCursor: null });
  }

  async renewLease(caller: Caller, leaseId: string, ttlSeconds: number | null) {
    const refusal = await this.begin('renewLease', caller, leaseId, ttlSeconds);
    if (refusal) return err(refusal);
    const lease = this.leases.get(leaseId);
    if (!lease) return err<Refusal>({ reason: 'not-found', detail: leaseId });
    if (lease.state === 'ended') return err<Refusal>({ reason: 'lease-ended', detail: leaseId });
    const renewed = { ...lease, expiresAt: this.options.runtime.now() + (ttlSeconds ?? 900) * 1000 };
    this.leases.set(leaseId, renewed);
    return ok(renewed);
  }

  async revokeLease(caller: Caller, leaseId: string, reason: string) {
    const refusal = await this.begin('revokeLease', caller, leaseId, reason);
    if (refusal) return err(refusal);
    const lease = this.leases.get(leaseId);
    if (!lease) return err<Refusal>({ reason: 'not-found', detail: leaseId });
    return ok(this.endLease(lease, 'revoked'));
  }

  async listRequests(caller: Caller) {
    const refusal = await this.begin('listRequests', caller);
    return refusal ? err(refusal) : ok([...this.requests.values()]);
  }

  async readRequest(caller: Caller, id: string) {
    return this.decideRequest('readRequest', caller, id, {});
  }

  async approveRequest(...[caller, id, ask]: Parameters<Verbs['approveRequest']>) {
    return this.decideRequest('approveRequest', caller, id, { state: 'approved' }, ask);
  }

  async denyRequest(caller: Caller, id: string, reason: string) {
    return this.decideRequest('denyRequest', caller, id, { state: 'denied', reason }, reason);
  }

  async cancelRequest(caller: Caller, id: string, reason: string) {
    return this.decideRequest('cancelRequest', caller, id, { state: 'cancelled', reason }, reason);
  }

  private async decideRequest(
    verb: string,
    caller: Caller,
    id: string,
    change: Partial<RequestRow>,
    ...more: unknown[]
  ) {
    const refusal = await this.begin(verb, caller, id, ...more);
    if (refusal) return err(refusal);
    const view = this.requests.get(id);
    if (!view) return err<Refusal>({ reason: 'not-found', detail: id });
    const after = { ...view, request: { ...view.request, ...change } };
    this.requests.set(id, after);
    return ok(after);
  }

  /** A request that waits for one approval. */
  awaitApproval(): RequestView {
    const now = this.options.runtime.now();
    const requester = { issuer: 'test', subject: 'job', claims: {} };
    const credential = { name: 'db', target: 'db', scope: {}, ttlSeconds: 900, capSeconds: 900 };
    const request: RequestRow = {
      id: newId(this.options.runtime),
      version: 1,
      state: 'pending',
      digest: sha256('asked'),
      grant: 'reports',
      issuer: requester.issuer,
      subject: requester.subject,
      ask: {
        task: 'nightly-1',
        purpose: 'an incident',
        parameters: {},
        grantVersion: 'v1',
        taskGrant: null,
        credentials: [credential],
      },
      requester,
      approvals: [],
      createdAt: now,
      expiresAt: now + 3_600_000,
      reason: null,
      taskId: null,
    };
    const view: RequestView = { request, onBehalfOf: ['Ada'], waitingStage: 0, stages: [1], automatic: null };
    this.requests.set(request.id, view);
    return view;
  }

  async listReviews(caller: Caller) {
    const refusal = await this.begin('listReviews', caller);
    return refusal ? err(refusal) : ok([...this.reviews.values()]);
  }

  async readReview(caller: Caller, id: string) {
    const refusal = await this.begin('readReview', caller, id);
    if (refusal) return err(refusal);
    const review = this.reviews.get(id);
    return review ? ok(review) : err<Refusal>({ reason: 'not-found', detail: id });
  }

  async closeReview(caller: Caller, id: string, finding: string) {
    const refusal = await this.begin('closeReview', caller, id, finding);
    if (refusal) return err(refusal);
    const review = this.reviews.get(id);
    if (!review) return err<Refusal>({ reason: 'not-found', detail: id });
    const closedBy = { issuer: 'test', subject: 'reviewer' };
    const closedAt = this.options.runtime.now();
    const closed: ReviewRow = { ...review, state: 'closed', closedAt, closedBy, finding };
    this.reviews.set(id, closed);
    return ok(closed);
  }

  /** A review that is overdue. */
  awaitReview(): ReviewRow {
    const now = this.options.runtime.now();
    const person = { issuer: 'test', subject: 'ada', claims: {} };
    const review: ReviewRow = {
      id: newId(this.options.runtime),
      version: 1,
      state: 'due',
      grant: 'reports',
      taskId: newId(this.options.runtime),
      issuer: person.issuer,
      subject: person.subject,
      person,
      people: ['Ada'],
      practice: false,
      purpose: 'an incident',
      ticket: null,
      openedAt: now - 7_200_000,
      dueAt: now - 1,
      closedAt: null,
      closedBy: null,
      finding: null,
    };
    this.reviews.set(review.id, review);
    return review;
  }

  async kill(...[caller, ask]: Parameters<Verbs['kill']>) {
    const refusal = await this.begin('kill', caller, ask);
    if (refusal) return err(refusal);
    const { all: _all, blockSeconds, ...match } = ask;
    const now = this.options.runtime.now();
    const row: KillRow = {
      ...match,
      id: newId(this.options.runtime),
      orderedAt: this.options.runtime.now(),
      orderedBy: { issuer: 'test', subject: 'operator' },
      tasks: 0,
      leases: this.leases.size,
      markedAt: this.options.runtime.now(),
      liftedAt: null,
      liftedBy: null,
      liftReason: null,
      liftsAt: blockSeconds === undefined ? null : now + blockSeconds * 1000,
    };
    this.kills.set(row.id, row);
    return ok({ kill: row, rest: this.killRest });
  }

  async readKill(caller: Caller, id: string) {
    const refusal = await this.begin('readKill', caller, id);
    if (refusal) return err(refusal);
    const kill = this.kills.get(id);
    return kill ? ok({ kill, rest: this.killRest }) : err<Refusal>({ reason: 'not-found', detail: id });
  }

  async listBlocks(caller: Caller) {
    const refusal = await this.begin('listBlocks', caller);
    if (refusal) return err(refusal);
    return ok([...this.kills.values()].filter(({ liftedAt }) => liftedAt === null));
  }

  async liftBlock(caller: Caller, id: string, reason: string) {
    const refusal = await this.begin('liftBlock', caller, id, reason);
    if (refusal) return err(refusal);
    const kill = this.kills.get(id);
    if (!kill) return err<Refusal>({ reason: 'not-found', detail: id });
    const lifted: KillRow = {
      ...kill,
      liftedAt: this.options.runtime.now(),
      liftedBy: kill.orderedBy,
      liftReason: reason,
    };
    this.kills.set(id, lifted);
    return ok(lifted);
  }

  async availableGrants(caller: Caller) {
    const refusal = await this.begin('availableGrants', caller);
    if (refusal) return err(refusal);
    return ok([
      {
        name: 'reports',
        version: sha256('reports'),
        description: 'Nightly reports',
        tasks: ['nightly-*'],
        purpose: 'optional' as const,
        purposePatterns: [],
        ticketPatterns: ['"OPS-*"'],
        needsApproval: true,
        breakGlass: false,
        credentials: [
          {
            name: 'warehouse',
            target: 'warehouse',
            provider: 'postgres',
            defaultTtlSeconds: 900,
            maxTtlSeconds: 3600,
          },
        ],
        parameters: [{ name: 'region', required: true }],
      },
    ]);
  }

  async explain(...args: Parameters<Verbs['explain']>) {
    const refusal = await this.begin('explain', ...args);
    if (refusal) return err(refusal);
    const check = {
      subject: 'task',
      ok: false,
      expected: '"nightly-*"',
      actual: JSON.stringify(args[1].task),
    };
    return ok({
      identity: args[1].identity,
      token: null,
      grants: [{ grant: 'reports', allowed: false, checks: [check] }],
    });
  }

  async createTaskGrant(...[caller, ask]: Parameters<Verbs['createTaskGrant']>) {
    const refusal = await this.begin('createTaskGrant', caller, ask);
    if (refusal) return err(refusal);
    const now = this.options.runtime.now();
    const { grant, expiresInSeconds, uses, ...cut } = ask;
    const row: TaskGrantRow = {
      id: newId(this.options.runtime),
      grant,
      grantVersion: sha256(grant),
      cut: cut as unknown as Json,
      createdBy: { issuer: 'test', subject: 'scheduler' },
      createdAt: now,
      expiresAt: now + expiresInSeconds * 1000,
      uses,
      used: 0,
    };
    this.taskGrants.set(row.id, row);
    return ok(row);
  }

  async readTaskGrant(caller: Caller, id: string) {
    const refusal = await this.begin('readTaskGrant', caller, id);
    if (refusal) return err(refusal);
    const row = this.taskGrants.get(id);
    return row ? ok(row) : err<Refusal>({ reason: 'not-found', detail: id });
  }

  async deliverTrail(...args: Parameters<Verbs['deliverTrail']>) {
    const refusal = await this.begin('deliverTrail', ...args);
    return refusal ? err(refusal) : ok(1);
  }

  async readAudit(...args: Parameters<Verbs['readAudit']>) {
    const refusal = await this.begin('readAudit', ...args);
    if (refusal) return err(refusal);
    return ok({
      events: [
        {
          v: 1 as const,
          id: newId(this.options.runtime),
          at: new Date(this.options.runtime.now()).toISOString(),
          actor: { kind: 'system' as const },
          about: { grant: 'reports' },
          kind: 'lease.ending' as const,
          data: { reason: 'completed' as const },
        },
      ],
      nextCursor: null,
    });
  }

  /** Ends a task as the broker would by itself. */
  end(task: TaskRow, endReason: EndReason, exitStatus: number | null = null) {
    const now = this.options.runtime.now();
    const ended: TaskRow = { ...task, state: 'ended', endedAt: now, endReason, exitStatus };
    this.tasks.set(task.id, ended);
    const leases = this.leasesOf(task.id).map((lease) => this.endLease(lease, endReason));
    return { task: ended, leases };
  }

  private endLease(lease: LeaseRow, endReason: EndReason): LeaseRow {
    const now = this.options.runtime.now();
    const ended: LeaseRow = {
      ...lease,
      state: 'ended',
      dueAt: null,
      endReason,
      endingSince: now,
      endedAt: now,
      outcome: 'revoked',
      evidence: { found: true },
    };
    this.leases.set(lease.id, ended);
    return ended;
  }

  private leasesOf(taskId: string): LeaseRow[] {
    return [...this.leases.values()].filter((lease) => lease.taskId === taskId);
  }

  private newTask(caller: Caller, ask: OpenTask): TaskRow {
    const principal = caller.kind === 'principal' ? caller.principal : caller.task.principal;
    const task = taskRow(this.options.runtime, {
      grant: ask.grant,
      grantVersion: sha256(ask.grant),
      taskGrantId: ask.taskGrant,
      name: ask.task,
      purpose: ask.purpose,
      parameters: ask.parameters,
      issuer: principal.issuer,
      subject: principal.subject,
      principal,
      tokenHash: '',
      publicKey: ask.publicKey,
      idempotencyKey: ask.idempotencyKey,
      requestDigest: digestJson(ask.parameters),
      heartbeatSeconds: this.options.heartbeatSeconds ?? null,
      ticket: ask.ticket ?? null,
      practice: ask.practice ?? false,
    });
    this.tasks.set(task.id, task);
    return task;
  }

  private async issue(task: TaskRow, names: readonly string[]): Promise<IssuedCredential[]> {
    return Promise.all(names.map((name) => this.issueOne(task, name)));
  }

  private async issueOne(task: TaskRow, name: string): Promise<IssuedCredential> {
    const { runtime, seal } = this.options;
    const now = runtime.now();
    const lease = leaseRow(runtime, task, {
      version: 2,
      state: 'active',
      credential: name,
      target: name,
      provider: 'postgres',
      scope: { roles: ['reader'] },
      issuedAt: now,
      dueAt: now + 900_000,
    });
    const { id } = lease;
    this.leases.set(id, lease);
    const secret = this.options.secretOf?.(name, id) ?? postgresSecret(name, id, runtime);
    if (!seal || task.publicKey === null) return { name, lease, secret, sealed: null };
    const sealed = await seal(JSON.stringify(secret), task.publicKey as Readonly<Record<string, Json>>);
    return { name, lease, secret: null, sealed };
  }
}

function principal(subject: string): Principal {
  return {
    issuer: 'test',
    subject,
    claims: { sub: subject },
    proof: { method: 'oidc', evidenceHash: sha256(subject), expiresAt: 0 },
  };
}

function postgresSecret(target: string, leaseId: string, runtime: Runtime): Secret {
  return {
    type: 'postgres',
    values: {
      host: '127.0.0.1',
      port: '5432',
      database: target,
      username: `hp_test_${leaseId}`,
      password: Buffer.from(runtime.randomBytes(18)).toString('base64url'),
    },
  };
}
