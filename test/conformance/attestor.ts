import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AttestationReason, Attestor, Evidence, Principal } from '../../src/identity/attestor.ts';

/** One attestor with a world of its own, and evidence made for it. Everything in it is fresh for each test. */
export interface AttestorWorld {
  readonly attestor: Attestor;
  /** Good evidence, and what it must prove. */
  readonly valid: Evidence;
  readonly proves: { readonly subject: string; readonly method: string };
  /** An instant at which `valid` is good, and the clock's when the test starts. */
  readonly now: number;
  /** When `valid` is accepted, tolerance included: from the first instant up to, not including, `until`. */
  readonly accepted: { readonly from: number; readonly until: number };
  /** Good evidence for somebody else, by what it is. */
  readonly notMine: Readonly<Record<string, Evidence>>;
  /** Evidence for this attestor with one thing wrong, by what that is. */
  readonly refused: Readonly<
    Record<string, { readonly evidence: Evidence; readonly reason: AttestationReason }>
  >;
  /** Like `valid`, but larger than anything the attestor may read. */
  readonly tooLarge: Evidence;
  /** `host:port` of everything that was contacted so far. */
  requestedHosts(): readonly string[];
  /** `host:port` of everything that the configuration names. */
  readonly configuredHosts: readonly string[];
  close(): Promise<void>;
}

export interface AttestorSuite {
  readonly name: string;
  create(): Promise<AttestorWorld>;
  /** Evidence of the attestor's kind with anything in it, never good. */
  readonly garbage: fc.Arbitrary<Evidence>;
  /** What `valid` becomes when somebody changes it; never `valid` itself, never good. */
  mutations(valid: Evidence): fc.Arbitrary<Evidence>;
}

/** What every attestor must do. Call it at the top of a test file. */
export function attestorConformance(suite: AttestorSuite): void {
  describe(`${suite.name}: conformance`, () => {
    let world: AttestorWorld;
    const attest = (evidence: Evidence, now = world.now) =>
      world.attestor.attest(evidence, now, new AbortController().signal);

    beforeEach(async () => {
      world = await suite.create();
    });
    afterEach(async () => {
      await world.close();
    });

    test('attest: valid evidence gives the principal it proves', async () => {
      const principal = accepted(await attest(world.valid));
      expect(principal.issuer).toBe(world.attestor.issuer);
      expect(principal.subject).toBe(world.proves.subject);
      expect(principal.proof.method).toBe(world.proves.method);
      expect(principal.proof.evidenceHash).toMatch(/^[\w-]{43}$/);
      expect(principal.proof.expiresAt).toBeGreaterThan(world.now);
      expect(principal.proof.expiresAt).toBeLessThanOrEqual(world.accepted.until);
    });

    test('attest: the same evidence gives the same principal, one after another and at once', async () => {
      const first = await attest(world.valid);
      const others = await Promise.all(Array.from({ length: 20 }, () => attest(world.valid)));
      for (const other of others) expect(other).toEqual(first);
      accepted(first);
    });

    test('attest: a principal cannot be changed by whoever receives it', async () => {
      expect(thawedPaths(accepted(await attest(world.valid)))).toEqual([]);
    });

    test('attest: a single use lasts until the evidence is refused anyway', async () => {
      const { singleUse } = accepted(await attest(world.valid)).proof;
      if (singleUse) expect(singleUse.until).toBeGreaterThanOrEqual(world.accepted.until);
    });

    test('attest: accepts up to the last instant and refuses from the next on, seen before or not', async () => {
      const { until } = world.accepted;
      expect(await attest(world.valid, until)).toMatchObject({ ok: false, error: { reason: 'expired' } });
      accepted(await attest(world.valid, until - 1));
      expect(await attest(world.valid, until)).toMatchObject({ ok: false, error: { reason: 'expired' } });
    });

    test('attest: refuses before the first instant and accepts from there on, seen before or not', async () => {
      const { from } = world.accepted;
      expect(await attest(world.valid, from - 1)).toMatchObject({ error: { reason: 'not-yet-valid' } });
      accepted(await attest(world.valid, from));
      expect(await attest(world.valid, from - 1)).toMatchObject({ error: { reason: 'not-yet-valid' } });
    });

    test('attest: evidence for others is not mine, and nobody is asked about it', async () => {
      expect(Object.keys(world.notMine)).not.toEqual([]);
      const before = world.requestedHosts().length;
      for (const [what, evidence] of Object.entries(world.notMine)) {
        expect(await attest(evidence), what).toBeNull();
      }
      expect(world.requestedHosts()).toHaveLength(before);
    });

    test('attest: each fault is refused with its reason, and the detail discloses no evidence', async () => {
      expect(Object.keys(world.refused)).not.toEqual([]);
      for (const [what, { evidence, reason }] of Object.entries(world.refused)) {
        const verdict = await attest(evidence);
        expect(verdict, what).toMatchObject({ ok: false, error: { reason, detail: expect.any(String) } });
        expect(JSON.stringify(verdict), what).not.toContain(JSON.stringify(evidence).slice(-60, -3));
      }
      accepted(await attest(world.valid));
    });

    test('attest: oversized evidence is refused', async () => {
      expect(await attest(world.tooLarge)).toMatchObject({ ok: false, error: { reason: 'too-large' } });
    });

    test('attest: contacts no host that the configuration does not name', async () => {
      await attest(world.valid);
      const faults = Object.values(world.refused).map(({ evidence }) => evidence);
      for (const evidence of [...faults, ...Object.values(world.notMine)]) await attest(evidence);
      for (const host of world.requestedHosts()) expect(world.configuredHosts).toContain(host);
    });

    test('attest: a request that was given up gives no exception', async () => {
      const verdict = await world.attestor.attest(
        world.valid,
        world.now,
        AbortSignal.abort(new Error('gone')),
      );
      if (!verdict?.ok) expect(verdict).toMatchObject({ ok: false, error: { reason: 'keys-unavailable' } });
    });

    test('attest: garbage never throws and never proves anything', async () => {
      await fc.assert(
        fc.asyncProperty(suite.garbage, async (evidence) => {
          expect((await attest(evidence))?.ok ?? false).toBe(false);
        }),
        { numRuns: 300 },
      );
    });

    test('attest: no change to valid evidence is accepted, before and after it was seen', async () => {
      const property = fc.asyncProperty(suite.mutations(world.valid), async (evidence) => {
        expect(evidence).not.toEqual(world.valid);
        expect((await attest(evidence))?.ok ?? false).toBe(false);
      });
      await fc.assert(property, { numRuns: 200 });
      accepted(await attest(world.valid));
      await fc.assert(property, { numRuns: 200 });
    });
  });
}

/** The principal of a verdict that must be good. */
export function accepted(verdict: Awaited<ReturnType<Attestor['attest']>>): Principal {
  if (!verdict?.ok) throw new Error(`Not accepted: ${JSON.stringify(verdict)}`);
  return verdict.value;
}

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Bearer texts of every degree of nonsense: any characters, token-like parts, JSON of any shape in the right form. */
export const bearerGarbage: fc.Arbitrary<Evidence> = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 2_000 }),
    fc.uint8Array({ maxLength: 500 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    fc.array(fc.base64String(), { maxLength: 6 }).map((parts) => parts.join('.')),
    fc
      .tuple(fc.json(), fc.json(), fc.uint8Array({ maxLength: 96 }))
      .map((parts) => parts.map((part) => Buffer.from(part as string).toString('base64url')).join('.')),
  )
  .map((token) => ({ kind: 'bearer', token }));

/**
 * A bearer text with a change anywhere: another character, one too many or too few, cut off, its parts exchanged.
 * The last characters of the parts come often, since base64url has bits there that no byte uses.
 */
export function bearerMutations(valid: Evidence): fc.Arbitrary<Evidence> {
  if (valid.kind !== 'bearer') throw new Error('The evidence is no bearer text');
  const { token } = valid;
  const partEnds = [...token]
    .flatMap((char, index) => (char === '.' ? [index - 1] : []))
    .concat(token.length - 1);
  const position = fc.oneof(
    { weight: 2, arbitrary: fc.nat(token.length - 1) },
    { weight: 1, arbitrary: fc.constantFrom(...partEnds) },
  );
  const character = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...BASE64URL) },
    { weight: 1, arbitrary: fc.constantFrom('.', '=', ' ', '\n', '\0', '+', '/', 'é', '%') },
  );
  const parts = token.split('.');
  return fc
    .oneof(
      fc.tuple(position, character).map(([at, char]) => token.slice(0, at) + char + token.slice(at + 1)),
      fc.tuple(position, character).map(([at, char]) => token.slice(0, at) + char + token.slice(at)),
      position.map((at) => token.slice(0, at) + token.slice(at + 1)),
      position.map((at) => token.slice(0, at)),
      character.map((char) => token + char),
      fc.shuffledSubarray(parts, { minLength: 1 }).map((some) => some.join('.')),
    )
    .filter((text) => text !== token)
    .map((text) => ({ kind: 'bearer', token: text }));
}

/** Chains of every degree of nonsense. */
export const certificateGarbage: fc.Arbitrary<Evidence> = fc
  .array(fc.uint8Array({ maxLength: 400 }), { maxLength: 6 })
  .map((chain) => ({ kind: 'client-certificate', chain }));

/** A chain with a change anywhere: a bit, a byte too many or too few, a certificate left out or in another's place. */
export function certificateMutations(valid: Evidence): fc.Arbitrary<Evidence> {
  if (valid.kind !== 'client-certificate') throw new Error('The evidence is no certificate');
  const { chain } = valid;
  const place = fc
    .nat(chain.length - 1)
    .chain((which) => fc.tuple(fc.constant(which), fc.nat((chain[which]?.length ?? 1) - 1)));
  const inPlace = (which: number, change: (bytes: Buffer) => Uint8Array) =>
    chain.map((certificate, at) => (at === which ? change(Buffer.from(certificate)) : certificate));
  const isChanged = (changed: readonly Uint8Array[]) =>
    changed.length !== chain.length || changed.some((one, at) => Buffer.compare(one, chain[at]!) !== 0);
  return fc
    .oneof(
      fc.tuple(place, fc.nat(7)).map(([[which, at], bit]) =>
        inPlace(which, (bytes) => {
          bytes[at]! ^= 1 << bit;
          return bytes;
        }),
      ),
      place.map(([which, at]) => inPlace(which, (bytes) => bytes.subarray(0, at))),
      fc
        .tuple(place, fc.uint8Array({ minLength: 1, maxLength: 4 }))
        .map(([[which], more]) => inPlace(which, (bytes) => Buffer.concat([bytes, more]))),
      fc.nat(chain.length - 1).map((which) => chain.filter((_, at) => at !== which)),
      fc.constant([...chain].reverse()),
    )
    .filter(isChanged)
    .map((changed) => ({ kind: 'client-certificate', chain: changed }));
}

/** The paths within a value at which something could still be changed. */
function thawedPaths(value: unknown, path = '$'): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const inner = Object.entries(value).flatMap(([name, member]) => thawedPaths(member, `${path}.${name}`));
  return Object.isFrozen(value) ? inner : [path, ...inner];
}
