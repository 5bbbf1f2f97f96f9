import pg from 'pg';
import { type Client, createClient, HallpassProblem, type TaskHandle } from '../../src/client/client.ts';
import { createRandom, type Random } from '../simulate/random.ts';
import { HEARTBEAT_SECONDS } from './configuration.ts';
import type { World } from './world.ts';

/** A credential that a client got: from then on the broker answers for it. */
export interface Received {
  readonly lease: string;
  readonly task: string;
  readonly target: string;
  readonly secrets: readonly string[];
  readonly at: number;
}

/** Clients that open, use, beat, renew and complete tasks, or walk away from them, until they are told to stop. */
export interface Crowd {
  readonly received: readonly Received[];
  /** Tasks whose completion was acknowledged. */
  readonly completed: ReadonlySet<string>;
  /** What clients heard instead of what they asked for, by operation and code. */
  readonly refusals: ReadonlyMap<string, number>;
  /** When tasks were opened, by `performance.now()`. */
  readonly openedAt: readonly number[];
  /** Resolves when a task was opened after now. Answers how many milliseconds that took. */
  nextOpened(patienceMs?: number): Promise<number>;
  /** How often clients heard one of these codes, whatever they asked for. */
  heard(...codes: readonly string[]): number;
  /** Nothing new is begun; resolves when what was begun is over. */
  stop(): Promise<void>;
}

export interface CrowdOptions {
  readonly workers: number;
  readonly seed: number;
  /** Between two tasks of one worker, at the most. */
  readonly pauseMs?: number;
  readonly grants?: readonly string[];
  /** Of tasks, those that nobody completes. */
  readonly abandoned?: number;
}

const DEFAULTS = { pauseMs: 200, grants: ['both', 'both', 'short', 'few'], abandoned: 0.15 };

export function startCrowd(world: World, options: CrowdOptions): Crowd {
  const { workers, seed, pauseMs, grants, abandoned } = { ...DEFAULTS, ...options };
  const received: Received[] = [];
  const completed = new Set<string>();
  const refusals = new Map<string, number>();
  const openedAt: number[] = [];
  const waiting = new Set<() => void>();
  let stopping = false;

  async function attempt<T>(operation: string, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      const code = error instanceof HallpassProblem ? error.code : error instanceof Error ? error.name : '?';
      const what = `${operation}: ${code}`;
      refusals.set(what, (refusals.get(what) ?? 0) + 1);
      return null;
    }
  }

  async function live(client: Client, random: Random): Promise<void> {
    const grant = random.pick(grants);
    const task = await attempt('open', () => client.openTask({ grant, task: 'work' }));
    if (task === null) return;
    openedAt.push(performance.now());
    for (const tell of waiting) tell();
    for (const { lease, secret } of task.credentials) {
      const secrets = ['password', 'api_key'].flatMap((name) => secret.values[name] ?? []);
      received.push({ lease: lease.id, task: task.id, target: lease.target, secrets, at: Date.now() });
    }
    if (random.chance(0.1)) await attempt('use', () => use(task));
    if (random.chance(abandoned)) return;
    for (let beats = random.below(3); beats > 0; beats--) {
      await sleep(random.below(HEARTBEAT_SECONDS * 50));
      await attempt('heartbeat', () => task.heartbeat());
    }
    if (random.chance(0.2)) await attempt('renew', () => task.renew());
    const done = await attempt('complete', () => task.complete(0));
    if (done !== null) completed.add(task.id);
  }

  async function work(number: number): Promise<void> {
    const random = createRandom(seed * 1_000 + number);
    const client = createClient({
      url: world.url,
      fetch: world.balancer.fetch,
      token: () => world.token('job'),
      timeoutMs: 10_000,
      maxAttempts: 3,
    });
    while (!stopping) {
      await live(client, random);
      await sleep(random.below(pauseMs));
    }
  }

  const atWork = Array.from({ length: workers }, (_, number) => work(number));
  return {
    received,
    completed,
    refusals,
    openedAt,
    async nextOpened(patienceMs = 180_000) {
      const from = performance.now();
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(tell);
          reject(new Error(`No task was opened for ${patienceMs} ms: ${countsText(refusals)}`));
        }, patienceMs);
        function tell(): void {
          clearTimeout(timer);
          waiting.delete(tell);
          resolve();
        }
        waiting.add(tell);
      });
      return performance.now() - from;
    },
    heard: (...codes) =>
      [...refusals].reduce(
        (sum, [what, count]) => (codes.some((code) => what.endsWith(`: ${code}`)) ? sum + count : sum),
        0,
      ),
    async stop() {
      stopping = true;
      await Promise.all(atWork);
    },
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function countsText(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([what, count]) => `${what} ${count}`).join(', ') || 'none';
}

/** Logs in at the warehouse, where it is one of the credentials. Past the proxy: what was issued works. */
async function use(task: TaskHandle): Promise<void> {
  const login = task.credentials.find(({ secret }) => secret.type === 'postgres');
  if (login === undefined) return;
  const { host, port, database, username, password } = login.secret.values;
  const client = new pg.Client({ host, port: Number(port), database, user: username, password });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('select 1');
  } finally {
    await client.end().catch(() => {});
  }
}
