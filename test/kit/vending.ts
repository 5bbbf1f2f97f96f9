/** The provider that src/providers/README.md shows: a package of somebody else's would look like it. */

import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { PROVIDER_INTERFACE_VERSION, ProviderError, type ProviderKind } from '../../src/kit.ts';

export const interfaceVersion = PROVIDER_INTERFACE_VERSION;
export const store = new Map<string, { key: string; expiresAt: number }>();
export const provider: ProviderKind<{ region: string }, { shelf: string }> = {
  kind: 'vending',
  settings: z.strictObject({ region: z.string() }),
  scope: z.strictObject({ shelf: z.string() }),
  ttl: { shortestSeconds: 1, longestSeconds: 3600 },
  targetExpires: true,
  settles: 'from-lease-id',
  templating: { filters: { plain: (value) => value }, defaultFilter: () => 'plain' },
  open: (_settings, { runtime, mark }) => ({
    ends: 'confirmed',
    async mint(_scope, terms, signal) {
      if (signal.aborted) throw new ProviderError('target-timeout', 'Cannot mint: given up');
      if (runtime.now() >= terms.mintBefore)
        throw new ProviderError('target-refused', 'Cannot mint: too late');
      if (store.has(terms.name)) throw new ProviderError('target-failed', 'Cannot mint: the name is taken');
      const key = randomBytes(24).toString('hex');
      store.set(terms.name, { key, expiresAt: terms.expiresAt });
      return {
        secret: { type: 'vending', values: { name: terms.name, key } },
        handle: {},
        expiresAt: terms.expiresAt,
      };
    },
    async end({ name }) {
      const found = store.delete(name);
      return { found, evidence: { deleted: found } };
    },
    async *inventory() {
      for (const name of store.keys()) if (name.startsWith(mark)) yield { name };
    },
    selfTest: async () => ({ ok: true, steps: [], remedies: [] }),
    close: async () => {},
  }),
};
