import { provider } from '../../../src/providers/google/provider.ts';
import { providerConformance } from '../../conformance/provider.ts';
import { scopeOf, startGoogleWorld } from './world.ts';

providerConformance({
  name: 'Google Cloud (a fake of it), access tokens of a service account',
  kind: provider,
  abilities: { ends: 'expiry-only', extends: false, lists: false, network: true, powerless: true },
  start: async () => {
    const { google, proxy, identityToken, settings, stop } = await startGoogleWorld();
    return {
      settings: settings(),
      scope: scopeOf(),
      identityToken,
      canUse: async ({ values }) => google.mayRead(values.access_token ?? '', 'any'),
      exists: async (name) => google.made.some(({ reason }) => reason === name),
      expiryOf: async (name) => google.made.find(({ reason }) => reason === name)?.expiresAt ?? 0,
      network: {
        settings: settings({}, proxy.port),
        set: (weather) => proxy.set(weather),
        swallowed: () => proxy.swallowed(),
      },
      powerless: settings({
        workload_identity_provider: google.workloadIdentityProvider.replace('/broker', '/other'),
      }),
      stop,
    };
  },
});
