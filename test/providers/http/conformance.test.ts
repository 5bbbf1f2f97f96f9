import { provider } from '../../../src/providers/http/provider.ts';
import { providerConformance } from '../../conformance/provider.ts';
import { startWebhookWorld } from './world.ts';

providerConformance({
  name: 'a credential service over HTTP (a fake of one)',
  kind: provider,
  abilities: { ends: 'confirmed', extends: true, lists: true, network: true, powerless: true },
  start: async () => {
    const { service, proxy, identityToken, settings, stop } = await startWebhookWorld();
    const all = { extend: true, inventory: true };
    return {
      settings: settings(all),
      scope: { role: 'reader', rows: [1, 2, { deep: true }] },
      identityToken,
      canUse: async ({ values }) => service.credentials.get(values.id ?? '')?.key === values.api_key,
      exists: async (name) => service.credentials.has(name),
      expiryOf: async (name) => service.credentials.get(name)?.expiresAt ?? 0,
      makeStranger: async (mark) => {
        const name = `${mark.slice(0, -1)}x${mark}`;
        service.add(name);
        return name;
      },
      network: {
        settings: settings(all, proxy.port),
        set: (weather) => proxy.set(weather),
        swallowed: () => proxy.swallowed(),
      },
      powerless: settings({ ...all, audience: 'https://elsewhere.example' }),
      stop,
    };
  },
});
