import { afterAll, afterEach, beforeAll, describe, expect, type TestContext } from 'vitest';
import { mayHaveTakenEffect, ProviderError } from '../../src/errors.ts';
import type { Json } from '../../src/json.ts';
import type {
  EndableTarget,
  Ending,
  Minted,
  ProviderKind,
  Secret,
  Target,
  TargetContext,
  Terms,
} from '../../src/providers/provider.ts';
import { newId, systemRuntime } from '../../src/runtime.ts';
import type { Weather } from '../support/tcp-proxy.ts';
import { type Abilities, type Applying, applying } from './applies.ts';

/** What a provider's test gives to the suite. */
export interface ProviderUnderTest<Settings, Scope> {
  /** For the titles: the provider, the version of its target, the rights of the broker. */
  readonly name: string;
  readonly kind: ProviderKind<Settings, Scope>;
  /** What the target and its world have: which tests apply. That it is true is a test too. */
  readonly abilities: Abilities;
  /** Starts a target of the test's own; or says why it cannot be had, and then every test is skipped with that. */
  start(): Promise<TargetUnderTest<Settings, Scope> | { readonly unavailable: string }>;
}

export interface TargetUnderTest<Settings, Scope> {
  readonly settings: Settings;
  /** A scope that these settings may grant. */
  readonly scope: Scope;
  /** Whether the credential is good for what the scope says, seen with a client that is not the provider. */
  canUse(secret: Secret): Promise<boolean>;
  /** Whether the target holds a credential of this name, seen with the target's own administration. */
  exists(name: string): Promise<boolean>;
  /** When the target will refuse it by itself, in milliseconds since the epoch. Where the target expires credentials. */
  expiryOf?(name: string): Promise<number>;
  /** Opens a session that lasts. Where the target has such. */
  openSession?(secret: Secret): Promise<{ isAlive(): Promise<boolean>; close(): Promise<void> }>;
  /** Makes a credential that is not ours, whose name differs from our mark as little as may be; gives its name. */
  makeStranger?(mark: string): Promise<string>;
  /** The same target behind a network that fails when it is told to. */
  readonly network?: {
    readonly settings: Settings;
    set(weather: Weather): void;
    /** Resolves when the target has answered something that did not arrive. */
    swallowed(): Promise<void>;
  };
  /** What the broker signs for this target, where the provider asks for that. */
  readonly identityToken?: TargetContext['identityToken'];
  /** The same target with a broker whose rights do not suffice. */
  readonly powerless?: Settings;
  stop(): Promise<void>;
}

const MARK = 'hp_cnf0_';
const TTL_MS = 600_000;
/** Longer than any answer of a target on loopback takes. */
const PATIENCE_MS = 400;

const HOSTILE: readonly (readonly [string, string])[] = [
  ['an injection', `'; DROP TABLE orders; --`],
  ['every quote', `"quoted" \\ 'single' \`back\` $$dollar$$ $guard$ $(sh) %s {{ x }} \${role}`],
  ['NUL', 'nul \0 inside'],
  ['Unicode', 'lone \ud800 surrogate, \u202eright to left, 日本語 🗝️, \r\n\t'],
  ['10,000 characters', '🗝️'.repeat(2_500)],
];

interface Suite<Settings, Scope> {
  readonly kind: ProviderKind<Settings, Scope>;
  readonly when: Applying['when'];
  /** The target, or the test is skipped with the reason why there is none. */
  its(ctx: TestContext): TargetUnderTest<Settings, Scope>;
  /** Opens a target, which is closed after the test. */
  open(settings: Settings): Target<Scope>;
  /** As `open`, for tests that need what is endable. */
  openEndable(ctx: TestContext, settings?: Settings): EndableTarget<Scope>;
}

/**
 * What every provider must do, whatever its target: see DESIGN.md, "Providers". Which tests apply is what the subject
 * declares; those that do not are named, with the reason, by tests that hold the reason to be true.
 */
export function providerConformance<Settings, Scope>(subject: ProviderUnderTest<Settings, Scope>): void {
  describe(`provider conformance: ${subject.name}`, () => {
    let world: TargetUnderTest<Settings, Scope> | undefined;
    let unavailable = 'the target did not start';
    const opened: Target<Scope>[] = [];

    beforeAll(async () => {
      const started = await subject.start();
      if ('unavailable' in started) unavailable = started.unavailable;
      else world = started;
    });
    afterEach(async () => {
      world?.network?.set({ kind: 'fair' });
      await Promise.all(opened.splice(0).map((target) => target.close()));
    });
    afterAll(() => world?.stop());

    const { when, tellOthers } = applying(subject.kind, subject.abilities);
    const suite: Suite<Settings, Scope> = {
      kind: subject.kind,
      when,
      its: (ctx) => world ?? ctx.skip(unavailable),
      open(settings) {
        const target = subject.kind.open(settings, contextOf(world?.identityToken));
        opened.push(target);
        return target;
      },
      openEndable(ctx, settings = suite.its(ctx).settings) {
        const target = suite.open(settings);
        if (target.ends === 'expiry-only') throw new Error('It declares another `ends` than it has');
        return target;
      },
    };
    mintTests(suite);
    endTests(suite);
    endRaceTests(suite);
    extendAndInventoryTests(suite);
    networkTests(suite);
    rightsTests(suite);
    tellOthers((ctx) => abilitiesOf(suite, ctx));
  });
}

/** What the target and its world really have. */
function abilitiesOf<Settings, Scope>({ its, open }: Suite<Settings, Scope>, ctx: TestContext): Abilities {
  const { settings, network, powerless } = its(ctx);
  const target = open(settings);
  return {
    ends: target.ends,
    extends: target.extend !== undefined,
    lists: target.inventory !== undefined,
    network: network !== undefined,
    powerless: powerless !== undefined,
  };
}

function mintTests<Settings, Scope>({ kind, when, its, open }: Suite<Settings, Scope>): void {
  when(
    [],
    'mint: gives a credential that can do what the scope says, by its name, until its expiry',
    async (ctx) => {
      const { settings, scope, canUse, exists, expiryOf } = its(ctx);
      const terms = termsOf();
      const minted = await open(settings).mint(scope, terms, soon());
      expect(await canUse(minted.secret)).toBe(true);
      expect(await exists(terms.name)).toBe(true);
      expect(minted.expiresAt).toBeLessThanOrEqual(terms.expiresAt);
      if (kind.targetExpires && expiryOf) expect(await expiryOf(terms.name)).toBe(minted.expiresAt);
    },
  );

  when([], 'mint: makes nothing once its window has passed, and says so', async (ctx) => {
    const { settings, scope, exists } = its(ctx);
    const terms = { ...termsOf(), mintBefore: Date.now() - 1 };
    const error = await failure(open(settings).mint(scope, terms, soon()));
    expect(mayHaveTakenEffect(error)).toBe(false);
    expect(await exists(terms.name)).toBe(false);
  });

  when(
    ['found-by-name'],
    'mint: makes no second credential under one name, and does not say that there is none',
    async (ctx) => {
      const { settings, scope, canUse } = its(ctx);
      const target = open(settings);
      const terms = termsOf();
      const minted = await target.mint(scope, terms, soon());
      expect(mayHaveTakenEffect(await failure(target.mint(scope, terms, soon())))).toBe(true);
      expect(await canUse(minted.secret)).toBe(true);
    },
  );

  when([], 'mint: makes nothing when it is aborted before it begins', async (ctx) => {
    const { settings, scope, exists } = its(ctx);
    const terms = termsOf();
    await failure(open(settings).mint(scope, terms, AbortSignal.abort()));
    expect(await exists(terms.name)).toBe(false);
  });

  when([], 'mint: keeps the secret out of the handle, which survives JSON', async (ctx) => {
    const { settings, scope } = its(ctx);
    const minted = await open(settings).mint(scope, termsOf(), soon());
    expect(JSON.parse(JSON.stringify(minted.handle))).toEqual(minted.handle);
    expectNoSecret(minted, minted.handle);
  });

  when([], 'mint: serves many at once, each with a secret of its own', async (ctx) => {
    const { settings, scope } = its(ctx);
    const target = open(settings);
    const minted = await Promise.all(Array.from({ length: 30 }, () => target.mint(scope, termsOf(), soon())));
    expect(new Set(minted.map(({ secret }) => JSON.stringify(secret))).size).toBe(30);
  });

  for (const [what, text] of HOSTILE)
    when([], `mint: does not stumble over ${what} in the context`, async (ctx) => {
      const { settings, scope, canUse } = its(ctx);
      const context = { issuer: text, subject: text, grant: text, task: text, taskId: text, purpose: text };
      const terms = { ...termsOf(), context };
      const target = open(settings);
      const minted = await target.mint(scope, terms, soon());
      expect(await canUse(minted.secret)).toBe(true);
      if (target.ends !== 'expiry-only') await target.end(endingOf(terms, minted.handle), soon());
    });
}

function endTests<Settings, Scope>({ when, its, openEndable }: Suite<Settings, Scope>): void {
  when(['endable'], 'end: makes it unusable, and cuts its open sessions', async (ctx) => {
    const { scope, canUse, exists, openSession } = its(ctx);
    const target = openEndable(ctx);
    const terms = termsOf();
    const minted = await target.mint(scope, terms, soon());
    const sessions = openSession ? await Promise.all([1, 2, 3].map(() => openSession(minted.secret))) : [];
    const { found, evidence } = await target.end(endingOf(terms, minted.handle), soon());
    expect(found).toBe(true);
    expectNoSecret(minted, evidence);
    expect(await Promise.all(sessions.map((session) => session.isAlive()))).not.toContain(true);
    expect(await canUse(minted.secret)).toBe(false);
    if (target.ends === 'confirmed') expect(await exists(terms.name)).toBe(false);
    await Promise.all(sessions.map((session) => session.close()));
  });

  when(['endable'], 'end: succeeds again and again, and finds nothing the second time', async (ctx) => {
    const { scope } = its(ctx);
    const target = openEndable(ctx);
    const terms = termsOf();
    const { handle } = await target.mint(scope, terms, soon());
    await target.end(endingOf(terms, handle), soon());
    for (const again of [handle, null]) {
      const { found } = await target.end(endingOf(terms, again), soon());
      if (target.ends === 'confirmed') expect(found).toBe(false);
    }
  });

  when(
    ['bounded-by-ttl', 'confirmed'],
    'end: without a handle, it says when what nobody received will have lapsed',
    async (ctx) => {
      const target = openEndable(ctx);
      const terms = termsOf();
      const { lapsesAt } = await target.end(endingOf(terms, null), soon());
      expect(lapsesAt).toBe(terms.expiresAt);
    },
  );

  when(['endable', 'found-by-name'], 'end: succeeds for what never was', async (ctx) => {
    const target = openEndable(ctx);
    expect((await target.end(endingOf(termsOf(), null), soon())).found).toBe(false);
  });

  when(['endable', 'found-by-name'], 'end: works by the name alone', async (ctx) => {
    const { scope, canUse } = its(ctx);
    const target = openEndable(ctx);
    const terms = termsOf();
    const minted = await target.mint(scope, terms, soon());
    expect((await target.end(endingOf(terms, null), soon())).found).toBe(true);
    expect(await canUse(minted.secret)).toBe(false);
  });

  when(
    ['endable'],
    'end: leaves alone a credential whose name begins with the same characters',
    async (ctx) => {
      const { scope, canUse } = its(ctx);
      const target = openEndable(ctx);
      const short = termsOf();
      const long = { ...short, name: `${short.name}0` };
      const ended = await target.mint(scope, short, soon());
      const kept = await target.mint(scope, long, soon());
      await target.end(endingOf(short, ended.handle), soon());
      expect(await canUse(kept.secret)).toBe(true);
      await target.end(endingOf(long, kept.handle), soon());
    },
  );

  when(['endable', 'found-by-name'], 'end: an unknown handle does not keep it from ending', async (ctx) => {
    const { scope, canUse } = its(ctx);
    const target = openEndable(ctx);
    const terms = termsOf();
    const minted = await target.mint(scope, terms, soon());
    await target.end(endingOf(terms, { from: ['a', 'later', 'version'] }), soon());
    expect(await canUse(minted.secret)).toBe(false);
  });
}

function endRaceTests<Settings, Scope>({ kind, when, its, openEndable }: Suite<Settings, Scope>): void {
  when(['endable'], 'end: many may end one credential at once', async (ctx) => {
    const { scope, canUse } = its(ctx);
    const targets = [openEndable(ctx), openEndable(ctx)];
    for (let round = 0; round < 5; round++) {
      const terms = termsOf();
      const minted = await targets[0]!.mint(scope, terms, soon());
      const byName = kind.settles === 'from-lease-id' && round % 2 === 0;
      const ending = endingOf(terms, byName ? null : minted.handle);
      const ended = await Promise.all([...targets, ...targets].map((target) => target.end(ending, soon())));
      expect(ended.some(({ found }) => found)).toBe(true);
      expect(await canUse(minted.secret)).toBe(false);
    }
  });

  when(['endable'], 'end: many may be ended at once', async (ctx) => {
    const { scope, exists } = its(ctx);
    const target = openEndable(ctx);
    const all = Array.from({ length: 30 }, () => termsOf());
    await Promise.all(
      all.map(async (terms) => {
        const { handle } = await target.mint(scope, terms, soon());
        await target.end(endingOf(terms, handle), soon());
      }),
    );
    if (target.ends !== 'confirmed') return;
    for (const terms of all) expect(await exists(terms.name)).toBe(false);
  });

  when(
    ['endable', 'found-by-name'],
    'end: what it says to be absent after the mint window does not come into being later',
    async (ctx) => {
      const { scope, exists } = its(ctx);
      const [minter, ender] = [openEndable(ctx), openEndable(ctx)];
      // Windows that close while the mint is on its way, so that both ends of the race are seen.
      for (let round = 0; round < 20; round++) {
        const terms = { ...termsOf(), mintBefore: Date.now() + 1_000 + round };
        const minting = minter.mint(scope, terms, soon()).catch(() => {});
        while (Date.now() <= terms.mintBefore - 1_000) await new Promise(setImmediate);
        await ender.end(endingOf(terms, null), soon());
        await minting;
        if (Date.now() > terms.mintBefore) expect(await exists(terms.name)).toBe(false);
        await ender.end(endingOf(terms, null), soon());
        expect(await exists(terms.name)).toBe(false);
      }
    },
  );
}

function extendAndInventoryTests<Settings, Scope>({
  kind,
  when,
  its,
  open,
  openEndable,
}: Suite<Settings, Scope>): void {
  when(['extends'], 'extend: moves the expiry, there and back, and again', async (ctx) => {
    const { settings, scope, canUse, expiryOf } = its(ctx);
    const target = open(settings);
    const terms = termsOf();
    const minted = await target.mint(scope, terms, soon());
    for (const expiresAt of [terms.expiresAt + TTL_MS, terms.expiresAt + TTL_MS, terms.expiresAt + 1]) {
      await extendOf(target)(endingOf(terms, minted.handle), expiresAt, soon());
      if (expiryOf) expect(await expiryOf(terms.name)).toBe(expiresAt);
    }
    expect(await canUse(minted.secret)).toBe(true);
  });

  when(
    ['extends', 'confirmed'],
    'extend: fails for what is gone, and does not bring it back',
    async (ctx) => {
      const { scope, exists } = its(ctx);
      const target = openEndable(ctx);
      const terms = termsOf();
      const { handle } = await target.mint(scope, terms, soon());
      await target.end(endingOf(terms, handle), soon());
      await failure(extendOf(target)(endingOf(terms, handle), terms.expiresAt + 1, soon()));
      expect(await exists(terms.name)).toBe(false);
    },
  );

  when(['lists'], 'inventory: lists what bears our mark, and nothing else', async (ctx) => {
    const { settings, scope, makeStranger } = its(ctx);
    const target = open(settings);
    const terms = termsOf();
    const { handle } = await target.mint(scope, terms, soon());
    const stranger = await makeStranger?.(MARK);
    const listed = await namesIn(target, soon());
    expect(listed).toContain(terms.name);
    expect(listed).not.toContain(stranger);
    expect(listed.filter((name) => !name.startsWith(MARK))).toEqual([]);
    expect(new Set(listed).size).toBe(listed.length);
    if (target.ends !== 'confirmed') return;
    await target.end(endingOf(terms, handle), soon());
    expect(await namesIn(target, soon())).not.toContain(terms.name);
    expect(kind.settles).toBe('from-lease-id');
  });
}

function networkTests<Settings, Scope>({ kind, when, its, open, openEndable }: Suite<Settings, Scope>): void {
  function needsNetwork(ctx: TestContext) {
    const { network } = its(ctx);
    if (network === undefined) throw new Error('It declares a network that is not there');
    return network;
  }

  when(
    ['network', 'endable'],
    'mint: failed, but it was created: the error says that it may be, and ending by name removes it',
    async (ctx) => {
      const { scope, exists } = its(ctx);
      const network = needsNetwork(ctx);
      const target = openEndable(ctx, network.settings);
      await warmUp(target, scope);
      for (const failing of ['cut', 'deaf'] as const) {
        const terms = termsOf();
        network.set({ kind: failing, replies: 0 });
        const error = await failure(target.mint(scope, terms, AbortSignal.timeout(PATIENCE_MS)));
        expect(mayHaveTakenEffect(error)).toBe(true);
        await network.swallowed();
        expect(await exists(terms.name)).toBe(true);
        network.set({ kind: 'fair' });
        const { found, lapsesAt } = await target.end(endingOf(terms, null), soon());
        if (kind.settles === 'from-lease-id') {
          expect(found).toBe(true);
          expect(await exists(terms.name)).toBe(false);
        } else if (target.ends === 'confirmed') expect(lapsesAt).toBe(terms.expiresAt);
      }
    },
  );

  for (const failing of ['cut', 'deaf'] as const)
    when(
      ['network', 'endable'],
      `end: ${failing} after any reply, it ends when it is tried again`,
      async (ctx) => {
        const { scope, canUse, exists, openSession } = its(ctx);
        const network = needsNetwork(ctx);
        const target = openEndable(ctx, network.settings);
        let failed = true;
        for (let replies = 0; failed && replies < 20; replies++) {
          const terms = termsOf();
          const minted = await target.mint(scope, terms, soon());
          const session = await openSession?.(minted.secret);
          network.set({ kind: failing, replies });
          failed = await target.end(endingOf(terms, minted.handle), AbortSignal.timeout(PATIENCE_MS)).then(
            () => false,
            (error) => {
              expect(error).toBeInstanceOf(ProviderError);
              return mayHaveTakenEffect(error);
            },
          );
          network.set({ kind: 'fair' });
          await target.end(endingOf(terms, minted.handle), soon());
          expect(await canUse(minted.secret)).toBe(false);
          if (target.ends === 'confirmed') expect(await exists(terms.name)).toBe(false);
          expect(await session?.isAlive()).not.toBe(true);
          await session?.close();
        }
        expect(failed).toBe(false);
      },
    );

  when(['network'], 'a target that is down is unreachable, and it recovers by itself', async (ctx) => {
    const { scope, canUse } = its(ctx);
    const network = needsNetwork(ctx);
    const target = open(network.settings);
    const terms = termsOf();
    const minted = await target.mint(scope, terms, soon());
    const ending = endingOf(terms, minted.handle);
    network.set({ kind: 'down' });
    for (let attempt = 0; attempt < 3; attempt++) {
      const calls = [
        () => target.mint(scope, termsOf(), soon()),
        ...(target.ends === 'expiry-only' ? [] : [() => target.end(ending, soon())]),
      ];
      for (const call of calls) expect(await failure(call())).toMatchObject({ code: 'target-unreachable' });
      expect((await target.selfTest(soon(), [scope])).ok).toBe(false);
    }
    network.set({ kind: 'fair' });
    if (target.ends !== 'expiry-only') {
      await target.end(ending, soon());
      expect(await canUse(minted.secret)).toBe(false);
    }
    expect(await canUse((await target.mint(scope, termsOf(), soon())).secret)).toBe(true);
  });

  when(
    ['network'],
    'a call that is aborted gives up at once, and says that it may have taken effect',
    async (ctx) => {
      const { scope } = its(ctx);
      const network = needsNetwork(ctx);
      const target = open(network.settings);
      const terms = termsOf();
      const { handle } = await target.mint(scope, terms, soon());
      network.set({ kind: 'blackhole' });
      for (const call of [
        (signal: AbortSignal) => target.mint(scope, termsOf(), signal),
        ...(target.ends === 'expiry-only'
          ? []
          : [(signal: AbortSignal) => target.end(endingOf(terms, handle), signal)]),
        ...(target.inventory ? [(signal: AbortSignal) => namesIn(target, signal)] : []),
      ]) {
        const began = performance.now();
        const error = await failure(call(AbortSignal.timeout(50)));
        expect(error).toMatchObject({ code: 'target-timeout' });
        expect(performance.now() - began).toBeLessThan(1_000);
      }
    },
  );

  when(['network'], 'a target is opened, and closed, without the network', async (ctx) => {
    const network = needsNetwork(ctx);
    network.set({ kind: 'down' });
    await kind.open(network.settings, contextOf()).close();
  });
}

function rightsTests<Settings, Scope>({ when, its, open }: Suite<Settings, Scope>): void {
  when([], 'selfTest: finds nothing wrong, and leaves nothing behind', async (ctx) => {
    const { settings, scope } = its(ctx);
    const target = open(settings);
    const before = target.inventory && (await namesIn(target, soon()));
    expect(await target.selfTest(soon(), [scope])).toMatchObject({ ok: true, remedies: [] });
    if (target.ends === 'confirmed' && target.inventory)
      expect(await namesIn(target, soon())).toEqual(before);
  });

  when(['powerless'], 'selfTest: names what is missing, and what to do', async (ctx) => {
    const { powerless, scope } = its(ctx);
    const { ok, steps, remedies } = await open(powerless as Settings).selfTest(soon(), [scope]);
    expect(ok).toBe(false);
    expect(steps.some((step) => !step.ok)).toBe(true);
    expect(remedies).not.toEqual([]);
  });

  when(['powerless'], 'mint: without the rights it is forbidden, and makes nothing', async (ctx) => {
    const { powerless, scope, exists } = its(ctx);
    const terms = termsOf();
    const error = await failure(open(powerless as Settings).mint(scope, terms, soon()));
    expect(error).toMatchObject({ code: 'target-forbidden' });
    expect(await exists(terms.name)).toBe(false);
  });

  when(
    ['powerless', 'endable'],
    'end: without the rights it is forbidden, and it works once they are there',
    async (ctx) => {
      const { powerless, settings, scope, canUse } = its(ctx);
      const terms = termsOf();
      const target = open(settings);
      const weak = open(powerless as Settings);
      if (target.ends === 'expiry-only' || weak.ends === 'expiry-only') return;
      const minted = await target.mint(scope, terms, soon());
      const error = await failure(weak.end(endingOf(terms, minted.handle), soon()));
      expect(error).toMatchObject({ code: 'target-forbidden' });
      expect(await canUse(minted.secret)).toBe(true);
      await target.end(endingOf(terms, minted.handle), soon());
      expect(await canUse(minted.secret)).toBe(false);
    },
  );
}

function contextOf(identityToken?: TargetContext['identityToken']): TargetContext {
  return {
    runtime: systemRuntime,
    target: 'conformance',
    mark: MARK,
    ...(identityToken === undefined ? {} : { identityToken }),
  };
}

/** Fresh terms of a lease. */
export function termsOf(): Terms {
  const leaseId = newId(systemRuntime);
  const now = Date.now();
  return {
    leaseId,
    name: `${MARK}${leaseId}`,
    now,
    mintBefore: now + 30_000,
    expiresAt: now + TTL_MS,
    context: {
      issuer: 'https://issuer.example',
      subject: 'batch',
      grant: 'nightly',
      task: 'orders',
      taskId: newId(systemRuntime),
      purpose: 'conformance',
    },
  };
}

export function endingOf(terms: Terms, handle: Json): Ending {
  return { leaseId: terms.leaseId, name: terms.name, handle, expiresAt: terms.expiresAt };
}

/** A bound for calls that must succeed. */
export function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}

/** The ProviderError of a call that must fail with one. */
export async function failure(call: Promise<unknown>): Promise<ProviderError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ProviderError);
  return error as ProviderError;
}

/** Fails when anything secret of the credential is in what is stored or logged. */
export function expectNoSecret({ secret }: Minted, elsewhere: unknown): void {
  const text = JSON.stringify(elsewhere);
  const secrets = Object.values(secret.values).filter((value) => value.length >= 24 && !value.includes(MARK));
  expect(secrets).not.toEqual([]);
  for (const value of secrets) expect(text).not.toContain(value);
}

/** How a target that declares it moves an expiry. */
function extendOf(target: Target<never>): NonNullable<Target['extend']> {
  if (target.extend === undefined) throw new Error('It declares that it extends, and does not');
  return target.extend.bind(target);
}

async function namesIn(target: Target<never>, signal: AbortSignal): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of target.inventory?.(signal) ?? []) names.push(name);
  return names.sort();
}

/** Lets the provider make its connections, so that the next call is the first thing that is sent. */
async function warmUp<Scope>(target: EndableTarget<Scope>, scope: Scope): Promise<void> {
  const terms = termsOf();
  const { handle } = await target.mint(scope, terms, soon());
  await target.end(endingOf(terms, handle), soon());
}
