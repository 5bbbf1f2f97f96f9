import type {
  AddCredentialsRequest,
  AddCredentialsResponse,
  IssuedCredential,
  Lease,
  OpenTaskResponse,
  Secret,
  Task,
  TaskWithLeases,
} from '../http/contract.ts';
import type { SealKey } from './sealed.ts';
import type { Call, Transport } from './transport.ts';

/** One credential of a task, ready for use. */
export interface Credential {
  readonly name: string;
  readonly lease: Lease;
  readonly secret: Secret;
}

/** An open task and all that its token allows. Disposing of it completes it, whatever happened. */
export interface TaskHandle extends AsyncDisposable {
  readonly id: string;
  /** The bearer token for everything about this task. A secret. */
  readonly token: string;
  /** As the broker last stated it. */
  readonly task: Task;
  /** All that were issued to this handle, each with its lease as last stated. */
  readonly credentials: readonly Credential[];
  /** The newest of each name. */
  readonly current: readonly Credential[];
  /** Asks for more credentials of the grant. Not repeated when no answer comes: it might issue twice. */
  addCredentials(request: AddCredentialsRequest, signal?: AbortSignal): Promise<readonly Credential[]>;
  /** Says that the task is still running. One attempt, which the signal cuts: the next beat is the repetition. */
  heartbeat(signal?: AbortSignal): Promise<Task>;
  /** Moves the expiry of every credential in `current`. */
  renew(ttlSeconds?: number): Promise<readonly Lease[]>;
  /** Moves the expiry of one. One attempt, which the signal cuts. */
  renewCredential(credential: Credential, ttlSeconds?: number, signal?: AbortSignal): Promise<Credential>;
  /** Ends the task and its credentials. Safe to repeat. */
  complete(exitStatus?: number): Promise<TaskWithLeases>;
}

/** What is known of a task when its handle is made. */
export interface KnownTask {
  readonly task: Task;
  readonly token: string;
  readonly credentials: readonly Credential[];
}

/** The handle of what was just opened. */
export async function openedHandle(
  transport: Transport,
  opened: OpenTaskResponse,
  key: SealKey | null,
): Promise<TaskHandle> {
  const token = opened.token ?? (opened.sealed_token && (await key?.openToken(opened.sealed_token)));
  if (!token) throw new Error('Cannot use the opened task: the answer holds no token that can be read');
  const credentials = await Promise.all(opened.credentials.map((issued) => openCredential(issued, key)));
  return createHandle(transport, { task: opened.task, token, credentials }, key);
}

async function openCredential(issued: IssuedCredential, key: SealKey | null): Promise<Credential> {
  const secret = issued.secret ?? (issued.sealed && (await key?.openSecret(issued.sealed)));
  if (!secret)
    throw new Error(
      `Cannot use the credential "${issued.name}": the answer holds no secret that can be read`,
    );
  return { name: issued.name, lease: issued.lease, secret };
}

/** A handle of what is known; without the key it was opened with, fresh secrets stay sealed. */
export function createHandle(transport: Transport, known: KnownTask, key: SealKey | null): TaskHandle {
  const { id } = known.task;
  const { token } = known;
  const credentials = [...known.credentials];
  let task = known.task;
  const post = <T>(path: string, body: unknown, repeat: Call['repeat'] = 'always', cut?: AbortSignal) =>
    transport<T>({ method: 'POST', path, body, repeat, cut, token: async () => token });
  const renewLease = async (
    credential: Credential,
    ttlSeconds: number | undefined,
    repeat: Call['repeat'],
    cut?: AbortSignal,
  ): Promise<Credential> => {
    const body = ttlSeconds === undefined ? {} : { ttl_seconds: ttlSeconds };
    const { lease } = await post<{ lease: Lease }>(
      `/v1/leases/${credential.lease.id}/renew`,
      body,
      repeat,
      cut,
    );
    const renewed = { ...credential, lease };
    const at = credentials.findIndex((known) => known.lease.id === lease.id);
    if (at >= 0) credentials[at] = renewed;
    return renewed;
  };
  const current = () => [...new Map(credentials.map((one) => [one.name, one])).values()];
  return {
    id,
    token,
    credentials,
    get current() {
      return current();
    },
    get task() {
      return task;
    },
    async addCredentials(request, signal) {
      const path = `/v1/tasks/${id}/credentials`;
      const added = await post<AddCredentialsResponse>(path, request, 'refused', signal);
      const opened = await Promise.all(added.credentials.map((issued) => openCredential(issued, key)));
      credentials.push(...opened);
      return opened;
    },
    async heartbeat(signal) {
      const answer = await post<{ task: Task }>(`/v1/tasks/${id}/heartbeat`, {}, 'never', signal);
      task = answer.task;
      return task;
    },
    async renew(ttlSeconds) {
      const renewed = await Promise.all(current().map((one) => renewLease(one, ttlSeconds, 'always')));
      return renewed.map(({ lease }) => lease);
    },
    renewCredential: (credential, ttlSeconds, signal) => renewLease(credential, ttlSeconds, 'never', signal),
    async complete(exitStatus) {
      const done = await completeTask(transport, id, async () => token, exitStatus);
      task = done.task;
      return done;
    },
    async [Symbol.asyncDispose]() {
      if (task.state === 'open') await this.complete();
    },
  };
}

/** Ends a task by its id, with its token or an operator's. */
export function completeTask(
  transport: Transport,
  id: string,
  token: () => Promise<string>,
  exitStatus: number | undefined,
): Promise<TaskWithLeases> {
  const body = exitStatus === undefined ? {} : { exit_status: exitStatus };
  return transport({ method: 'POST', path: `/v1/tasks/${id}/complete`, body, repeat: 'always', token });
}
