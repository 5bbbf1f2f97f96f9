import type { Target } from '../../src/providers/provider.ts';
import type { Database } from '../../src/store/database.ts';
import type { MemoryWorld } from '../fakes/provider.ts';

/** Where a process dies: at its n-th call to the outside, before it is sent or after it took effect. */
export interface KillPoint {
  readonly call: number;
  readonly phase: 'before' | 'after';
}

/**
 * Stands between one broker and everything outside it: its database and its targets. When it kills, that broker's
 * calls neither go out nor come back any more, for ever, as a dead process's do; what was sent before goes on.
 */
export interface Mortal {
  database(database: Database): Database;
  world(world: MemoryWorld): MemoryWorld;
  /** From now on calls are counted, and the broker dies at this point; null counts only. */
  arm(point: KillPoint | null): void;
  /** Dies at once. */
  kill(): void;
  /** The calls since `arm`, named, in order. */
  readonly calls: readonly string[];
  readonly dead: boolean;
  /** Resolves when it dies. */
  readonly died: Promise<void>;
}

const NEVER = new Promise<never>(() => {});

export function createMortal(): Mortal {
  let calls: string[] = [];
  let point: KillPoint | null = null;
  let dead = false;
  let tell = () => {};
  const died = new Promise<void>((resolve) => {
    tell = resolve;
  });

  function kill(): void {
    dead = true;
    tell();
  }

  async function call<T>(name: string, work: () => PromiseLike<T>): Promise<T> {
    if (dead) return NEVER;
    const number = calls.push(name);
    const mine = point?.call === number ? point.phase : null;
    if (mine === 'before') {
      kill();
      return NEVER;
    }
    try {
      return await work();
    } finally {
      if (mine === 'after') kill();
      // An answer on its way to a dead process reaches nobody.
      if (dead) await NEVER;
    }
  }

  /** A builder of drizzle's whose statement is a call when it is awaited. */
  function builder<B extends object>(built: B): B {
    return new Proxy(built, {
      get(target, key) {
        if (key === 'then') {
          return (resolve: (value: unknown) => void, reject: (error: unknown) => void) =>
            call('select', () => Promise.resolve(target)).then(resolve, reject);
        }
        const member: unknown = Reflect.get(target, key, target);
        if (typeof member !== 'function') return member;
        return (...parameters: unknown[]) => {
          const answer: unknown = member.apply(target, parameters);
          return answer !== null && typeof answer === 'object' ? builder(answer) : answer;
        };
      },
    });
  }

  function target<T extends Target<never>>(live: T): T {
    return new Proxy(live, {
      get(inner, key) {
        const member: unknown = Reflect.get(inner, key, inner);
        if (typeof member !== 'function' || !['mint', 'end', 'extend'].includes(String(key))) return member;
        return (...parameters: unknown[]) => call(String(key), () => member.apply(inner, parameters));
      },
    });
  }

  return {
    database: (database) => ({
      ...database,
      orm: new Proxy(database.orm, {
        get: (orm, key) =>
          key === 'select'
            ? (...parameters: Parameters<typeof orm.select>) => builder(orm.select(...parameters))
            : Reflect.get(orm, key, orm),
      }),
      query: (statement, parameters) =>
        call(statement.name, () => database.query(statement, parameters)) as never,
    }),
    world: (world) => ({
      ...world,
      provider: {
        ...world.provider,
        open: (settings, context) => target(world.provider.open(settings, context)),
      } as MemoryWorld['provider'],
    }),
    arm(where) {
      point = where;
      calls = [];
    },
    kill,
    get calls() {
      return calls;
    },
    get dead() {
      return dead;
    },
    died,
  };
}
