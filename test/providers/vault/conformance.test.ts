import { provider } from '../../../src/providers/vault/provider.ts';
import { providerConformance } from '../../conformance/provider.ts';
import { scopeOf, settingsFor, startVaultWorld, tokenNamed } from './world.ts';

providerConformance({
  name: 'Vault (a fake of it), database users under a token for each lease',
  kind: provider,
  abilities: { ends: 'confirmed', extends: false, lists: false, network: true, powerless: true },
  start: async () => {
    const { vault, proxy, identityToken, stop } = await startVaultWorld();
    return {
      settings: settingsFor(vault.address),
      scope: scopeOf({ token: true }),
      identityToken,
      canUse: async ({ values }) => {
        const { db_username: user = '', db_password: password, token = '' } = values;
        return vault.users.get(user) === password && vault.tokens.has(token);
      },
      exists: async (name) => tokenNamed(vault, name) !== undefined,
      network: {
        settings: settingsFor(`http://127.0.0.1:${proxy.port}`, {
          auth: { jwt: { role: 'conformance', audience: vault.address } },
        }),
        set: (weather) => proxy.set(weather),
        swallowed: () => proxy.swallowed(),
      },
      powerless: settingsFor(vault.address, {
        auth: { approle: { role_id: 'weak', secret_id: vault.secretId } },
      }),
      stop,
    };
  },
});
