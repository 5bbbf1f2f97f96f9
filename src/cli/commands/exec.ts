import { type KeepEvent, type Kept, keepTask } from '../../client/keep.ts';
import type { TaskHandle } from '../../client/task.ts';
import type { TaskWithLeases } from '../../http/contract.ts';
import { type ConnectionOptions, connect } from '../connect.ts';
import { type Plan, planDelivery } from '../credentials/plan.ts';
import { type ChildEnd, catchSignals, runChild, type Signals, signalStatus } from '../exec/child.ts';
import { createSecretFolder, type SecretFolder } from '../exec/folder.ts';
import { openTemplate, type Rendered } from '../exec/rendered.ts';
import { tellKeeping } from '../exec/tell.ts';
import { EXIT } from '../exit-codes.ts';
import { reportFailure } from '../failure.ts';
import type { Io } from '../io.ts';
import type { AskOptions, DeliveryOptions } from '../options.ts';
import { say } from '../output.ts';
import { openRequest } from './open.ts';
import { sayAwaiting } from './requests.ts';

export interface ExecOptions extends ConnectionOptions, AskOptions, DeliveryOptions {
  /** `in:out`. */
  readonly template?: readonly string[];
  readonly renew?: boolean;
  readonly dpop?: true;
}

/** With the client's waits this is patience for some twenty seconds, at either end of the command. */
const ATTEMPTS = 8;

/** Runs a command with the credentials of a task that ends when the command does. Answers the exit code. */
export async function exec(
  io: Io,
  options: ExecOptions,
  command: readonly string[],
  /** In place of the identity's own, for whoever has no other. */
  token?: () => Promise<string>,
): Promise<number> {
  const signals = catchSignals(io);
  try {
    const templates = (options.template ?? []).map((pair) => openTemplate(pair, io.cwd()));
    const client = connect(io, options, {
      maxAttempts: ATTEMPTS,
      ...(options.dpop && { dpop: true }),
      ...(token && { token }),
    });
    const task = await client.openTask(openRequest(options), { onAwaiting: sayAwaiting(io) });
    if (task.task.practice) return await endPractice(io, task);
    return await runTask(io, { options, command, task, templates }, signals);
  } catch (error) {
    reportFailure(io, error);
    return EXIT.notStarted;
  } finally {
    signals.release();
  }
}

/** A rehearsal ends where the command would begin: without credentials of its own it might find others. */
async function endPractice(io: Io, task: TaskHandle): Promise<number> {
  await complete(io, task, undefined);
  say(io, 'Practice: nothing was minted, and the command was not run. Its review: hallpass review');
  return EXIT.done;
}

/** One command with its task. */
interface Run {
  readonly options: ExecOptions;
  readonly command: readonly string[];
  readonly task: TaskHandle;
  readonly templates: readonly Rendered[];
}

/** From here on the credentials exist: whatever happens, they are asked back. */
async function runTask(io: Io, run: Run, signals: Signals): Promise<number> {
  const folder = createFolderSafely(io);
  const removeFiles = () => {
    folder?.remove();
    for (const template of run.templates) template.remove();
  };
  const keepFiles = io.onExit(removeFiles);
  let kept: Kept | null = null;
  let end: ChildEnd | null = null;
  try {
    if (folder) {
      const delivered = deliver(io, run, folder);
      kept = keep(io, run, (event) => {
        tellKeeping(io, event);
        if (event.kind === 'replaced') delivered.refresh();
      });
      end = await runWith(io, run, delivered.first, signals);
    }
    if (end?.fault) say(io, end.fault);
  } catch (error) {
    reportFailure(io, error);
  } finally {
    await kept?.stop();
    removeFiles();
    keepFiles();
  }
  await complete(io, run.task, end?.status);
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

function keep(io: Io, { task, options }: Run, on: (event: KeepEvent) => void): Kept {
  const { now, sleep } = io.runtime;
  return keepTask(task, {
    on,
    now,
    sleep,
    renewals: options.renew !== false,
    ...(options.ttl === undefined ? {} : { ttlSeconds: options.ttl }),
  });
}

/** What the command is given, and how its files follow when a credential is replaced. */
interface Delivered {
  readonly first: Plan;
  refresh(): void;
}

function deliver(io: Io, { options, task, templates }: Run, folder: SecretFolder): Delivered {
  const wishes = { prefixes: options.prefix ?? {}, extra: options.env ?? {} };
  const write = (): Plan => {
    const plan = planDelivery(task.current, wishes, folder.path, io.env);
    for (const [path, content] of Object.entries(plan.files)) folder.write(path, content);
    for (const template of templates) template.render(task.current);
    return plan;
  };
  const first = write();
  for (const note of first.notes) say(io, note);
  let told = false;
  return {
    first,
    refresh() {
      try {
        const { env } = write();
        const stale = Object.keys(env).filter((name) => env[name] !== first.env[name]);
        if (stale.length > 0 && !told)
          say(
            io,
            `${stale.join(', ')}: the running command keeps the first values until they expire; only files are made anew. For longer commands use: hallpass agent`,
          );
        told ||= stale.length > 0;
      } catch (error) {
        reportFailure(io, error);
      }
    },
  };
}

function runWith(io: Io, { command, task }: Run, plan: Plan, signals: Signals): Promise<ChildEnd> {
  if (signals.early)
    return Promise.resolve({
      status: signalStatus(signals.early),
      fault: `Not started: ${signals.early} came first`,
    });
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
