import type { TaskHandle } from '../../client/task.ts';
import type { TaskWithLeases } from '../../http/contract.ts';
import { type ConnectionOptions, connect } from '../connect.ts';
import { planDelivery } from '../credentials/plan.ts';
import { type ChildEnd, catchSignals, runChild, type Signals, signalStatus } from '../exec/child.ts';
import { createSecretFolder, type SecretFolder } from '../exec/folder.ts';
import { keepBeating } from '../exec/heartbeat.ts';
import { EXIT } from '../exit-codes.ts';
import { reportFailure } from '../failure.ts';
import type { Io } from '../io.ts';
import type { AskOptions, DeliveryOptions } from '../options.ts';
import { say } from '../output.ts';
import { openRequest } from './open.ts';

export type ExecOptions = ConnectionOptions & AskOptions & DeliveryOptions & { readonly dpop?: true };

/** With the client's waits this is patience for some twenty seconds, at either end of the command. */
const ATTEMPTS = 8;

/** Runs a command with the credentials of a task that ends when the command does. Answers the exit code. */
export async function exec(io: Io, options: ExecOptions, command: readonly string[]): Promise<number> {
  const signals = catchSignals(io);
  try {
    const client = connect(io, options, { maxAttempts: ATTEMPTS, ...(options.dpop && { dpop: true }) });
    const task = await client.openTask(openRequest(options));
    return await runTask(io, options, command, task, signals);
  } catch (error) {
    reportFailure(io, error);
    return EXIT.notStarted;
  } finally {
    signals.release();
  }
}

/** From here on the credentials exist: whatever happens, they are asked back. */
async function runTask(
  io: Io,
  options: ExecOptions,
  command: readonly string[],
  task: TaskHandle,
  signals: Signals,
): Promise<number> {
  const folder = createFolderSafely(io);
  const keepFolder = io.onExit(() => folder?.remove());
  const ended = new AbortController();
  let end: ChildEnd | null = null;
  try {
    const beating = keepBeating(io, task, ended.signal);
    if (folder) end = await runWith(io, options, command, task, signals, folder);
    if (end?.fault) say(io, end.fault);
    ended.abort();
    await beating;
  } catch (error) {
    reportFailure(io, error);
  } finally {
    ended.abort();
    folder?.remove();
    keepFolder();
  }
  await complete(io, task, end?.status);
  return end?.status ?? EXIT.notStarted;
}

function createFolderSafely(io: Io): SecretFolder | null {
  try {
    return createSecretFolder(io.env, io.cwd());
  } catch (error) {
    reportFailure(io, error);
    return null;
  }
}

async function runWith(
  io: Io,
  options: ExecOptions,
  command: readonly string[],
  task: TaskHandle,
  signals: Signals,
  folder: SecretFolder,
): Promise<ChildEnd> {
  const wishes = { prefixes: options.prefix ?? {}, extra: options.env ?? {} };
  const plan = planDelivery(task.credentials, wishes, folder.path, io.env);
  for (const note of plan.notes) say(io, note);
  for (const [path, content] of Object.entries(plan.files)) folder.write(path, content);
  if (signals.early)
    return { status: signalStatus(signals.early), fault: `Not started: ${signals.early} came first` };
  const hidden = Object.fromEntries(plan.removed.map((name) => [name, undefined]));
  return runChild(command, { ...io.env, ...hidden, ...plan.env, HALLPASS_TASK: task.id }, signals);
}

async function complete(io: Io, task: TaskHandle, status: number | undefined): Promise<void> {
  try {
    sayUnended(io, await task.complete(status));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const latest =
      task.credentials
        .map(({ lease }) => lease.expires_at)
        .toSorted()
        .at(-1) ?? 'their expiry';
    say(
      io,
      `Cannot tell the broker that the task has ended: ${reason}. Its credentials end by themselves, at ${latest} at the latest; sooner with: hallpass complete ${task.id}`,
    );
  }
}

function sayUnended(io: Io, { leases }: TaskWithLeases): void {
  for (const { id, credential, state } of leases)
    if (state !== 'ended')
      say(io, `The credential "${credential}" is still being revoked; see: hallpass leases ${id}`);
}
