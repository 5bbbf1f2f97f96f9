import { type KeepEvent, type KeepOptions, type Kept, keepTask } from '../../client/keep.ts';
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
}

export function createHolder(options: HolderOptions): Holder {
  const closing = new AbortController();
  const open = new Set<Held>();
  let held: Held | null = null;
  let opening: Promise<Held> | null = null;
  let failure: { readonly at: number; readonly error: unknown } | null = null;

  const renewing = async (): Promise<Held> => {
    if (failure && options.now() - failure.at < PAUSE_MS) throw failure.error;
    try {
      const task = await options.open();
      const fresh: Held = { task, kept: keepTask(task, { ...options.keep, ...outside(), on: react }) };
      function react(event: KeepEvent): void {
        options.on(event);
        if (closing.signal.aborted) return;
        if (event.kind === 'replaced') options.changed(task.current);
        if (event.kind === 'unrenewable' || event.kind === 'expired' || event.kind === 'task-ended') {
          if (event.kind !== 'unrenewable') void retire(fresh);
          if (held === fresh) {
            held = event.kind === 'unrenewable' ? held : null;
            void replace(fresh);
          }
        }
      }
      open.add(fresh);
      held = fresh;
      failure = null;
      options.changed(task.current);
      return fresh;
    } catch (error) {
      failure = { at: options.now(), error };
      throw error;
    }
  };
  const outside = () => ({ now: options.now, sleep: options.sleep });

  /** One opening, whoever asks. */
  const opened = (): Promise<Held> => {
    if (closing.signal.aborted) return Promise.reject(new Error('The agent is stopping'));
    opening ??= renewing().finally(() => {
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
        await options.sleep(RETRY_MS, closing.signal).catch(() => {});
      }
    }
  };

  const retire = async (spent: Held): Promise<void> => {
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
      await Promise.all([...open].map(retire));
    },
  };
}
