import { z } from 'zod';
import { ProviderError } from '../../src/errors.ts';
import type {
  EndableTarget,
  Ended,
  Ending,
  LapsingTarget,
  Minted,
  ProviderKind,
  Secret,
  Sighting,
  Target,
  TargetContext,
  Terms,
} from '../../src/providers/provider.ts';

/**
 * An in-process target of kind `memory`. The world behind it (`MemoryWorld`) is what a real server would be: it
 * belongs to the test and outlives the broker's targets, so a test can abandon a broker and start another one.
 *
 * A call that is given up by its signal goes on in the world, as a request that is already on its way does.
 */
export interface MemoryWorld {
  /** The kind to put into a table of providers. */
  readonly provider: ProviderKind<MemorySettings, MemoryScope>;
  /** What exists at the target, by name. Denied credentials stay, with `denied` set. */
  readonly live: Map<string, MemoryCredential>;
  /** Every secret that was ever minted, for canary tests. */
  readonly minted: Secret[];
  /** Every call that reached the world, in order. */
  readonly calls: { readonly call: FaultCall; readonly name: string }[];
  /** Called around each call. May wait, throw, or move the clock. Assign it in a test. */
  fault: Fault;
  /** Open sessions of credentials, or of anybody. Assign them in a test; what ends a credential leaves them here. */
  sessions: (Sighting & { readonly name: string })[];
  /** Called before the sessions are looked at; answers whether a look takes them all. */
  lookFault: () => boolean | Promise<boolean>;
  /** Called before the inventory is read. */
  inventoryFault: () => void | Promise<void>;
  /** Logs in with a secret: true while the target accepts it. */
  use(secret: Secret): boolean;
  /** Puts something there that no lease made. */
  plant(name: string, expiresAt?: number): void;
}

/**
 * Throwing in `before`: the call failed and did nothing. Throwing in `after`: it failed, but it took effect
 * (failed but created; timed out after it was deleted).
 */
export type Fault = (call: FaultCall, phase: 'before' | 'after', ending: Ending) => void | Promise<void>;
export type FaultCall = 'mint' | 'end' | 'extend';

export interface MemoryCredential {
  readonly name: string;
  readonly password: string;
  readonly scope: MemoryScope;
  expiresAt: number;
  denied: boolean;
}

const memorySettings = z.strictObject({
  ends: z.enum(['confirmed', 'denied', 'expiry-only']).default('confirmed'),
  extend: z.boolean().default(true).meta({ description: 'Whether leases can be renewed' }),
  admin_password: z.string().optional().meta({ description: 'The broker’s own password', secret: true }),
});
export type MemorySettings = z.infer<typeof memorySettings>;

const memoryScope = z.strictObject({
  role: z.string().min(1).max(100),
  statements: z.array(z.string()).max(10).optional(),
  read_only: z.boolean().optional(),
});
export type MemoryScope = z.infer<typeof memoryScope>;

export interface MemoryOptions {
  /** The clock of the world, in milliseconds since the epoch. */
  readonly now: () => number;
  readonly kind?: string;
  readonly targetExpires?: boolean;
  readonly settles?: ProviderKind['settles'];
  readonly ttl?: ProviderKind['ttl'];
  /** Whether it shows open sessions. */
  readonly observes?: boolean;
  /** With `denied`: how long a denial takes to be in force everywhere. */
  readonly denialDelayMs?: number;
}

export function fakeProvider(options: MemoryOptions): MemoryWorld {
  const world: MemoryWorld = {
    provider: {
      kind: options.kind ?? 'memory',
      settings: memorySettings,
      scope: memoryScope,
      ttl: options.ttl ?? { shortestSeconds: 1, longestSeconds: 86_400 },
      targetExpires: options.targetExpires ?? true,
      settles: options.settles ?? 'from-lease-id',
      templating: {
        filters: { identifier: quoteIdentifier, literal: quoteLiteral },
        defaultFilter: (path) => (path[0] === 'statements' ? null : 'identifier'),
      },
      refuseScope: (scope) => {
        const { role, statements = [] } = scope as Partial<MemoryScope>;
        const faults: string[] = [];
        if (role === 'superuser')
          faults.push('The role "superuser" may do everything; name one that may do less');
        if (statements.some((statement) => statement.includes("'{{")))
          faults.push('A template stands within quotes; take them away, its filter sets them');
        return faults;
      },
      open: (settings, context) => open(world, options, settings, context),
    },
    live: new Map(),
    minted: [],
    calls: [],
    fault: () => {},
    sessions: [],
    lookFault: () => true,
    inventoryFault: () => {},
    use: (secret) => {
      const credential = world.live.get(secret.values.username ?? '');
      return (
        credential !== undefined &&
        credential.password === secret.values.password &&
        !credential.denied &&
        (!world.provider.targetExpires || options.now() < credential.expiresAt)
      );
    },
    plant: (name, expiresAt = Number.MAX_SAFE_INTEGER) => {
      const scope = { role: 'planted' };
      world.live.set(name, { name, password: 'planted', scope, expiresAt, denied: false });
    },
  };
  return world;
}

function open(
  world: MemoryWorld,
  options: MemoryOptions,
  settings: MemorySettings,
  context: TargetContext,
): Target<MemoryScope> {
  const call = async <T>(kind: FaultCall, ending: Ending, signal: AbortSignal, act: () => T): Promise<T> => {
    signal.throwIfAborted();
    const inTheWorld = async () => {
      await world.fault(kind, 'before', ending);
      world.calls.push({ call: kind, name: ending.name });
      const answer = act();
      await world.fault(kind, 'after', ending);
      return answer;
    };
    return await unlessAborted(inTheWorld(), signal);
  };

  const mint = async (scope: MemoryScope, terms: Terms, signal: AbortSignal): Promise<Minted> => {
    const password = Buffer.from(context.runtime.randomBytes(24)).toString('base64url');
    const ending = { leaseId: terms.leaseId, name: terms.name, handle: null, expiresAt: terms.expiresAt };
    return await call('mint', ending, signal, () => {
      if (options.now() > terms.mintBefore)
        throw new ProviderError('target-refused', `Cannot create ${terms.name}: the mint window is over`);
      if (world.live.has(terms.name))
        throw new ProviderError('target-refused', `Cannot create ${terms.name}: it exists`);
      const { name, expiresAt } = terms;
      world.live.set(name, { name, password, scope, expiresAt, denied: false });
      const secret = { type: world.provider.kind, values: { username: name, password } };
      world.minted.push(secret);
      return { secret, handle: { name }, expiresAt };
    });
  };

  const end = (ending: Ending, signal: AbortSignal): Promise<Ended> =>
    call('end', ending, signal, () => {
      const credential = world.live.get(ending.name);
      const found = credential !== undefined && !credential.denied;
      if (settings.ends === 'confirmed') {
        world.live.delete(ending.name);
        if (!options.observes) return { found, evidence: { deleted: found } };
        const sessions = world.sessions.filter(({ name }) => name === ending.name);
        return { found, evidence: { deleted: found }, sessions };
      }
      if (credential) credential.denied = true;
      const effectiveAt = options.now() + (options.denialDelayMs ?? 0);
      return { found, evidence: { denied: found }, effectiveAt };
    });

  const extend = (ending: Ending, expiresAt: number, signal: AbortSignal): Promise<void> =>
    call('extend', ending, signal, () => {
      const credential = world.live.get(ending.name);
      if (!credential || credential.denied)
        throw new ProviderError('target-refused', `Cannot extend ${ending.name}: it does not exist`);
      credential.expiresAt = expiresAt;
    });

  const base = {
    mint,
    ...(settings.extend ? { extend } : {}),
    ...(options.observes
      ? {
          observe: async () => {
            const complete = await world.lookFault();
            return { complete, sessions: world.sessions.filter(({ name }) => name.startsWith(context.mark)) };
          },
        }
      : {}),
    async *inventory() {
      await world.inventoryFault();
      for (const { name, denied } of [...world.live.values()]) {
        if (name.startsWith(context.mark) && !denied) yield { name };
      }
    },
    selfTest: async () => ({ ok: true, steps: [{ name: 'create and delete', ok: true }], remedies: [] }),
    close: async () => {},
  };
  if (settings.ends === 'expiry-only')
    return { ...base, ends: 'expiry-only' } satisfies LapsingTarget<MemoryScope>;
  return { ...base, ends: settings.ends, end } satisfies EndableTarget<MemoryScope>;
}

/** The world's answer, or a time-out when the caller gives up first; the world goes on all the same. */
function unlessAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = () =>
      reject(
        new ProviderError('target-timeout', 'No answer from the target in time', { cause: signal.reason }),
      );
    signal.addEventListener('abort', giveUp, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
  });
}

function quoteIdentifier(value: string): string {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(value))
    throw new RangeError('An identifier is 1 to 63 characters of a-z, 0-9 and _ and begins with no digit');
  return value;
}

function quoteLiteral(value: string): string {
  if (value.includes('\0')) throw new RangeError('A literal holds no NUL');
  return `'${value.replaceAll("'", "''")}'`;
}
