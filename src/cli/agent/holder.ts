import { type KeepEvent, type KeepOptions, type Kept, keepTask, skewOf } from '../../client/keep.ts';
import type { Credential, TaskHandle } from '../../client/task.ts';

/** The credentials of a task that never ends by itself: when one task has had its time, the next is opened. */
export interface Holder {
  /** All current credentials, of a task that is alive. However many ask at once, one task is opened. */
  credentials(): Promise<readonly Credential[]>;
  /** Completes what is open. Nothing is given after that. */
  close(): Promise<void>;
}

export interface HolderOptions {
  open(): Promise<TaskHandle>;
  readonly now: () => number;
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  readonly keep?: Omit<KeepOptions, 'on' | 'now' | 'sleep'>;
  /** Told all that happens to the tasks. */
  on(event: KeepEvent): void;
  /** Called with each new set of credentials, the first included. */
  changed(credentials: readonly Credential[]): void;
  /** Called when a task could not be opened anew. */
  failed(error: unknown): void;
}

/** A broker that refuses or is away is asked at most this often, by however many askers. */
const PAUSE_MS = 2_000;
/** Between attempts that nobody waits for. */
const RETRY_MS = 15_000;

interface Held {
  readonly task: TaskHandle;
  readonly kept: Kept;
  readonly skewMs: number;
}

export function createHolder(options: HolderOptions): Holder {
  const { now, sleep } = options;
  const closing = new AbortController();
  const open = new Set<Held>();
  let held: Held | null = null;
  let opening: Promise<Held> | null = null;
  let failure: { readonly at: number; readonly error: unknown } | null = null;

  const openNext = async (): Promise<Held> => {
    if (failure && now() - failure.at < PAUSE_MS) throw failure.error;
    try {
      const task = await options.open();
      const kept = keepTask(task, { ...options.keep, now, sleep, on: (event) => react(next, event) });
      const next: Held = { task, kept, skewMs: skewOf(task, now()) };
      open.add(next);
      held = next;
      failure = null;
      options.changed(task.current);
      return next;
    } catch (error) {
      failure = { at: now(), error };
      throw error;
    }
  };

  const react = (of: Held, event: KeepEvent): void => {
    options.on(event);
    if (closing.signal.aborted || held !== of) return;
    if (event.kind === 'replaced') options.changed(of.task.current);
    // What has ended is given to nobody; what soon will is good until the next is there.
    if (event.kind === 'expired' || event.kind === 'task-ended') held = null;
    if (event.kind === 'expired' || event.kind === 'task-ended' || event.kind === 'unrenewable')
      void replace(of);
  };

  /** One opening, whoever asks. */
  const opened = (): Promise<Held> => {
    if (closing.signal.aborted) return Promise.reject(new Error('The agent is stopping'));
    opening ??= openNext().finally(() => {
      opening = null;
    });
    return opening;
  };

  /** Opens the next task before anybody asks, and goes on until there is one. */
  const replace = async (spent: Held): Promise<void> => {
    while (!closing.signal.aborted && (held === null || held === spent)) {
      try {
        await opened();
      } catch (error) {
        options.failed(error);
        await sleep(RETRY_MS, closing.signal).catch(() => {});
      }
    }
    await retire(spent);
  };

  /** Whoever was given its credentials may use them until they end by themselves; they are renewed no more. */
  const retire = async (spent: Held): Promise<void> => {
    if (!open.has(spent)) return;
    await spent.kept.stop();
    const beating = keepTask(spent.task, { now, sleep, renewals: false });
    const ends = spent.task.credentials.map(({ lease }) => Date.parse(lease.expires_at) - spent.skewMs);
    await sleep(Math.max(0, Math.max(...ends) - now()), closing.signal).catch(() => {});
    await beating.stop();
    await complete(spent);
  };

  const complete = async (spent: Held): Promise<void> => {
    if (!open.delete(spent)) return;
    await spent.kept.stop();
    // Ended already or not: completing says so once more, and what does not hear it lapses.
    await spent.task.complete().catch(() => {});
  };

  return {
    credentials: async () => (held ?? (await opened())).task.current,
    async close() {
      closing.abort();
      await opening?.catch(() => {});
      held = null;
      await Promise.all([...open].map(complete));
    },
  };
}
