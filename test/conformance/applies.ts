import { expect, type TestContext, test } from 'vitest';
import type { ProviderKind, Target } from '../../src/providers/provider.ts';

/** What a provider's test says of its target beforehand, since tests are named before anything runs. */
export interface Abilities {
  /** As the target's own `ends`. */
  readonly ends: Target['ends'];
  /** Whether the target can move the expiry of a credential. */
  readonly extends: boolean;
  /** Whether it can list the credentials that bear our mark. */
  readonly lists: boolean;
  /** Whether the test's world has a network that can be made to fail. */
  readonly network: boolean;
  /** Whether the test's world has a broker whose rights do not suffice. */
  readonly powerless: boolean;
}

/** What a test of the suite needs beyond minting. */
export type Need =
  | 'endable'
  | 'confirmed'
  | 'found-by-name'
  | 'bounded-by-ttl'
  | 'extends'
  | 'lists'
  | 'network'
  | 'powerless';

/** Why a test does not apply, by what it needs. */
const WITHOUT: Readonly<Record<Need, string>> = {
  endable: 'its credentials cannot be ended before their time',
  confirmed: 'its credentials stay at the target when they are ended',
  'found-by-name': 'its credentials are not found by their names',
  'bounded-by-ttl': 'its credentials are found by their names',
  extends: 'its credentials cannot be extended',
  lists: 'its credentials cannot be listed',
  network: 'there is no way to make the network to this target fail',
  powerless: 'there is no broker without rights',
};

/** Whether it is so, by what is declared. */
function has(need: Need, { settles }: Pick<ProviderKind, 'settles'>, abilities: Abilities): boolean {
  switch (need) {
    case 'endable':
      return abilities.ends !== 'expiry-only';
    case 'confirmed':
      return abilities.ends === 'confirmed';
    case 'found-by-name':
      return settles === 'from-lease-id';
    case 'bounded-by-ttl':
      return settles === 'bounded-by-ttl';
    default:
      return abilities[need];
  }
}

/** Registers the tests that apply, and keeps account of the others. */
export interface Applying {
  /** As `test`, where all that it needs is there. */
  when(needs: readonly Need[], title: string, body: (ctx: TestContext) => Promise<void>): void;
  /** A test for each reason for which others do not apply. It names them, and passes where the reason is true. */
  tellOthers(actual: (ctx: TestContext) => Abilities): void;
}

export function applying(kind: Pick<ProviderKind, 'settles'>, declared: Abilities): Applying {
  const others = new Map<Need, string[]>();
  return {
    when(needs, title, body) {
      const lacking = needs.find((need) => !has(need, kind, declared));
      if (lacking === undefined) test(title, body);
      else others.set(lacking, [...(others.get(lacking) ?? []), title]);
    },
    tellOthers(actual) {
      test('is what its test declares', (ctx) => {
        expect(actual(ctx)).toEqual(declared);
      });
      for (const [need, titles] of others)
        test(`${WITHOUT[need]}, so these do not apply: ${titles.join('; ')}`, (ctx) => {
          expect(has(need, kind, actual(ctx))).toBe(false);
        });
    },
  };
}
