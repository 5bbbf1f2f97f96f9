import { ProviderError } from '../../src/errors.ts';
import type { Ending, Secret, Target } from '../../src/providers/provider.ts';
import type { Database } from '../../src/store/database.ts';
import { type FaultCall, fakeProvider, type MemoryWorld } from '../fakes/provider.ts';
import { heardBy, never, type Owner } from './owner.ts';
import type { Schedule } from './schedule.ts';
import { WEATHERS, type Weather } from './weather.ts';

/** A target as a model that knows the truth, with the way to it. */
export interface Land {
  readonly world: MemoryWorld;
  weather: Weather;
  /** The world as one replica sees it: its calls go there and back by the schedule. */
  seenBy(owner: Owner): MemoryWorld;
  /** Logs in and stays; false when the target refuses. */
  enter(secret: Secret): boolean;
  wasMinted(leaseId: string): boolean;
  /** Why this outcome of the lease is not true now, or null. */
  contradicts(leaseId: string, outcome: string, now: number, toleranceMs: number): string | null;
}

export interface LandOptions {
  readonly name: string;
  readonly schedule: Schedule;
  readonly database: Database;
  readonly faults: string[];
  /** A target that forgets who is still logged in when it takes a credential away. */
  readonly forgetsSessions: boolean;
}

/** How long a denial takes to be in force everywhere. */
const DENIAL_DELAY_MS = 8_000;

export function createLand({ name, schedule, database, faults, forgetsSessions }: LandOptions): Land {
  const { random } = schedule;
  const world = fakeProvider({ now: schedule.now, denialDelayMs: DENIAL_DELAY_MS });
  const sessions = new Set<string>();
  const minted = new Set<string>();
  const deniedFrom = new Map<string, number>();
  /** Whose call is being begun: from the call of a method until it reaches the way out, nobody else runs. */
  let calling: Owner | null = null;
  const callers = new WeakMap<Ending, Owner>();
  /** What follows when a call has taken effect. */
  const echoes = new WeakMap<Ending, () => void>();

  world.fault = async (call, phase, ending) => {
    const what = `${call} ${ending.name} at ${name}`;
    if (phase === 'before') {
      if (calling !== null) callers.set(ending, calling);
      await travel(call, what, callers.get(ending));
      await schedule.work(arrive(call, ending));
      return;
    }
    took(call, ending);
    await comeBack(what);
  };
  world.inventoryFault = () => schedule.turn(`inventory at ${name}`);

  async function travel(call: FaultCall, what: string, owner: Owner | undefined): Promise<void> {
    const fate = land.weather.there(random);
    await schedule.turn(`${owner?.name} sends ${what}${fate === 'well' ? '' : `: ${fate}`}`);
    if (owner?.alive === false && random.chance(0.5)) return never();
    switch (fate) {
      case 'lost':
        return never();
      case 'refused':
        if (call === 'mint') throw new ProviderError('target-refused', 'no');
        throw new ProviderError('target-failed', 'no');
      case 'throttled':
        throw new ProviderError('target-throttled', 'slow down');
      case 'broken':
        throw new ProviderError('target-unreachable', 'refused');
      case 'slow':
        await schedule.sleep(random.pick([5, 900, 14_000, 16_000, 31_000]));
        return schedule.turn(`late comes ${what}`);
    }
  }

  async function comeBack(what: string): Promise<void> {
    const fate = land.weather.back(random);
    if (fate === 'slow') await schedule.sleep(random.pick([5, 900, 14_000, 31_000]));
    await schedule.turn(`${what} answers${fate === 'well' ? '' : `: ${fate}`}`);
    if (fate === 'lost') return never();
    if (fate !== 'well' && fate !== 'slow') throw new ProviderError('target-unreachable', 'reset');
  }

  /** What must be committed by the time that a call reaches its target (invariants 1 and 4). */
  async function arrive(call: FaultCall, ending: Ending): Promise<void> {
    const [row] = await database.query<{ state: string; expires: number; intended: boolean }>(
      {
        name: 'simulated_arrival',
        text: `select state, (extract(epoch from expires_at) * 1000)::float8 as expires,
                 exists (select from audit_event e where e.lease_id = l.id and e.kind = 'lease.intended') as intended
               from lease l where id = $1`,
      },
      [ending.leaseId],
    );
    if (row === undefined || !row.intended) {
      faults.push(`1: ${call} of ${ending.name} reached ${name} before its intent was committed`);
    } else if (call === 'end' && row.state !== 'ending' && row.state !== 'ended') {
      faults.push(`4: ${ending.name} is ended at ${name} while its lease is ${row.state}`);
    } else if (call === 'extend' && row.expires < ending.expiresAt) {
      faults.push(`2: ${ending.name} is extended at ${name} past its lease`);
    }
  }

  function took(call: FaultCall, ending: Ending): void {
    const { leaseId, name: credential } = ending;
    echoes.get(ending)?.();
    if (call === 'mint') minted.add(leaseId);
    if (call !== 'end') return;
    if (!forgetsSessions) sessions.delete(credential);
    if (world.live.get(credential)?.denied && !deniedFrom.has(leaseId))
      deniedFrom.set(leaseId, schedule.now() + DENIAL_DELAY_MS);
  }

  /**
   * A call knows whose it is. One that ends or extends may come a second time, whenever it likes after the first has
   * taken effect; the answer to that reaches nobody. (Where it came first, it would be the call, and its answer lost.)
   */
  function target(owner: Owner, live: Target<never>): Target<never> {
    return new Proxy(live, {
      get(inner, key) {
        const member: unknown = Reflect.get(inner, key, inner);
        if (typeof member !== 'function' || !['mint', 'end', 'extend'].includes(String(key))) return member;
        const send = (parameters: unknown[]) => {
          calling = owner;
          const answer = member.apply(inner, parameters) as Promise<unknown>;
          calling = null;
          return answer;
        };
        return (...parameters: unknown[]) => {
          if (key !== 'mint' && random.chance(0.05)) {
            const [ending, ...rest] = parameters as [Ending, ...unknown[]];
            echoes.set(ending, () => void send([{ ...ending }, ...rest]).catch(() => {}));
          }
          return heardBy(owner, () => send(parameters));
        };
      },
    });
  }

  const land: Land = {
    world,
    weather: WEATHERS.fair,
    seenBy: (owner) => ({
      ...world,
      provider: {
        ...world.provider,
        open: (settings, context) => target(owner, world.provider.open(settings, context)),
      } as MemoryWorld['provider'],
    }),
    enter(secret) {
      if (!world.use(secret)) return false;
      sessions.add(secret.values.username!);
      return true;
    },
    wasMinted: (leaseId) => minted.has(leaseId),
    contradicts(leaseId, outcome, now, toleranceMs) {
      const live = [...world.live.values()].find((credential) => credential.name.endsWith(leaseId));
      const session = [...sessions].some((credential) => credential.endsWith(leaseId));
      switch (outcome) {
        case 'never-minted':
          return minted.has(leaseId) ? 'it was made' : null;
        case 'revoked':
          return live ? 'it is there' : session ? 'somebody is still logged in with it' : null;
        case 'denied':
          if (live && !live.denied) return 'it works';
          if (session) return 'somebody is still logged in with it';
          return (deniedFrom.get(leaseId) ?? 0) > now + toleranceMs ? 'that is not in force yet' : null;
        case 'expired':
          return live && live.expiresAt > now + toleranceMs ? 'it has not lapsed' : null;
        default:
          return 'that is no outcome';
      }
    },
  };
  return land;
}
