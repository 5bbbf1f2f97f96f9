import type { Committer, Unit } from '../../src/store/commit.ts';
import type { Database } from '../../src/store/database.ts';
import type { MemoryWorld } from '../fakes/provider.ts';
import type { TestBroker } from '../support/broker.ts';

/** A broker that is broken on purpose, from outside: what the simulator must find. */
export interface Mutation {
  readonly name: string;
  /** How the fault begins that it must be found by. */
  readonly foundBy: RegExp;
  database?(database: Database): Database;
  world?(world: MemoryWorld): MemoryWorld;
  broker?(hallpass: TestBroker): void;
  readonly forgetsSessions?: boolean;
}

const FAR = 365 * 86_400_000;

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'mints while its intent is still being committed',
    foundBy: /^1: mint of .* before its intent was committed/,
    broker: (hallpass) =>
      withCommitter(hallpass, (inner) => async (unit) => {
        const result = inner.commit(unit);
        if (!unit.newLeases) return result;
        result.catch(() => {});
        return { ok: true, value: undefined };
      }),
  },
  {
    name: 'does not try an ending again that failed',
    foundBy: /^2: \d+ tasks and leases never end/,
    broker: (hallpass) =>
      withCommitter(hallpass, (inner) => (unit) => {
        if (!unit.events.some(({ kind }) => kind === 'lease.end-failed')) return inner.commit(unit);
        return inner.commit(
          changed(unit, (lease) => (lease.dueAt === null ? lease : { ...lease, dueAt: lease.dueAt + FAR })),
        );
      }),
  },
  {
    name: 'claims without keeping others off',
    foundBy: /^8: .* was claimed/,
    database: (database) => ({
      ...database,
      query: (statement, parameters) => {
        const text = statement.text.replace('set due_at = $4', 'set due_at = least(due_at, $4)');
        return database.query({ ...statement, text }, parameters);
      },
    }),
  },
  {
    name: 'calls a mint that was not answered never minted',
    foundBy: /^3: .* is said to be never-minted/,
    broker: (hallpass) =>
      withCommitter(hallpass, (inner) => (unit) => {
        const failed = unit.events.find(({ kind }) => kind === 'lease.mint-failed');
        const { changedLeases: [lease] = [] } = unit;
        if (failed === undefined || lease?.state !== 'ending') return inner.commit(unit);
        const evidence = { refused: 'unknown' };
        const ended = { ...lease, state: 'ended', dueAt: null, outcome: 'never-minted', evidence } as const;
        const { actor, about } = failed;
        const data = { outcome: 'never-minted', reason: 'mint-failed', evidence } as const;
        return inner.commit({
          ...unit,
          changedLeases: [{ ...ended, endedAt: hallpass.broker.runtime.now() }],
          events: [failed, { kind: 'lease.ended', actor, about, data }],
        });
      }),
  },
  {
    name: 'says revoked without asking the target',
    foundBy: /^3: .* is said to be revoked/,
    world: (world) =>
      answering(world, 'end', async (end) => {
        try {
          return await end();
        } catch {
          return { found: true, evidence: {} };
        }
      }),
  },
  {
    name: 'keeps the secret with the handle',
    foundBy: /^5: a secret is in the database/,
    world: (world) =>
      answering(world, 'mint', async (mint) => {
        const minted = (await mint()) as { secret: { values: Record<string, string> } };
        return { ...minted, handle: { password: minted.secret.values.password } };
      }),
  },
  {
    name: 'ends a credential and forgets its sessions',
    foundBy: /^3: .* somebody is still logged in/,
    forgetsSessions: true,
  },
  {
    name: 'commits an issue without its event',
    foundBy: /^(1: .* handed out before it was issued|4: )/,
    broker: (hallpass) =>
      withCommitter(
        hallpass,
        (inner) => (unit) =>
          inner.commit({ ...unit, events: unit.events.filter(({ kind }) => kind !== 'lease.issued') }),
      ),
  },
  {
    name: 'forgets the limit of its grant',
    foundBy: /^10: \d+ leases live/,
    broker: (hallpass) =>
      withCommitter(
        hallpass,
        (inner) => (unit) =>
          inner.commit({ ...unit, quotas: (unit.quotas ?? []).map((use) => ({ ...use, maxLive: null })) }),
      ),
  },
];

function withCommitter(hallpass: TestBroker, commit: (inner: Committer) => Committer['commit']): void {
  const { committer } = hallpass.broker;
  Object.assign(hallpass.broker, { committer: { ...committer, commit: commit(committer) } });
}

function changed(unit: Unit, change: (lease: LeaseOf<Unit>) => LeaseOf<Unit>): Unit {
  return { ...unit, changedLeases: (unit.changedLeases ?? []).map(change) };
}

type LeaseOf<U extends Unit> = NonNullable<U['changedLeases']>[number];

/** The world with one of its methods answered otherwise. */
function answering(
  world: MemoryWorld,
  method: 'mint' | 'end',
  answer: (real: () => Promise<unknown>) => Promise<unknown>,
): MemoryWorld {
  return {
    ...world,
    provider: {
      ...world.provider,
      open: (settings, context) => {
        const target = world.provider.open(settings, context);
        return new Proxy(target, {
          get(inner, key) {
            const member: unknown = Reflect.get(inner, key, inner);
            if (key !== method || typeof member !== 'function') return member;
            return (...parameters: unknown[]) => answer(() => member.apply(inner, parameters));
          },
        });
      },
    },
  };
}
