import { expect, test } from 'vitest';
import { PROVIDER_INTERFACE_VERSION } from '../../src/kit.ts';
import { providerConformance } from '../conformance/kit.ts';
import { interfaceVersion, provider, store } from './vending.ts';

providerConformance({
  name: 'a vending machine',
  kind: provider,
  abilities: { ends: 'confirmed', extends: false, lists: true, network: false, powerless: false },
  start: async () => ({
    settings: { region: 'eu' },
    scope: { shelf: 'a' },
    canUse: async ({ values }) => store.get(values.name ?? '')?.key === values.key,
    exists: async (name) => store.has(name),
    expiryOf: async (name) => store.get(name)?.expiresAt ?? 0,
    stop: async () => {},
  }),
});

test('interfaceVersion: is the one that this broker loads', () => {
  expect(interfaceVersion).toBe(PROVIDER_INTERFACE_VERSION);
});
