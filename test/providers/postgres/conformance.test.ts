import { provider } from '../../../src/providers/postgres/provider.ts';
import { providerConformance } from '../../conformance/provider.ts';
import { isAlive, logIn, scope, startWarehouse } from './world.ts';

for (const version of ['15', '18'] as const) {
  for (const admin of ['superuser', 'least'] as const) {
    providerConformance({
      name: `PostgreSQL ${version}, the broker ${admin === 'least' ? 'with the least rights' : 'as superuser'}`,
      kind: provider,
      abilities: { ends: 'confirmed', extends: true, lists: true, network: true, powerless: true },
      start: async () => {
        const warehouse = await startWarehouse(version);
        if ('unavailable' in warehouse) return warehouse;
        const { proxy, root, settings, stop } = warehouse;
        return {
          settings: settings(admin),
          scope: scope({ roles: ['reader'] }),
          canUse: async (secret) => {
            try {
              const client = await logIn(secret);
              const { rows } = await client.query('SELECT sum(amount)::int AS total FROM orders');
              const writes = await client.query('DELETE FROM orders').catch(() => null);
              await client.end();
              return rows[0].total === 30 && writes === null;
            } catch {
              return false;
            }
          },
          exists: async (name) => {
            const { rowCount } = await root.query('SELECT FROM pg_authid WHERE rolname = $1', [name]);
            return rowCount === 1;
          },
          expiryOf: async (name) => {
            const { rows } = await root.query('SELECT rolvaliduntil FROM pg_authid WHERE rolname = $1', [
              name,
            ]);
            return rows[0].rolvaliduntil.getTime();
          },
          openSession: async (secret) => {
            const client = await logIn(secret);
            return {
              isAlive: () => isAlive(client),
              close: () => client.end().catch(() => {}),
            };
          },
          makeStranger: async (mark) => {
            // As a pattern of LIKE, the mark's last character would match any.
            const name = `${mark.slice(0, -1)}x${mark}`;
            await root.query(`CREATE ROLE ${name}`);
            return name;
          },
          network: {
            settings: settings(admin, { port: proxy.port }),
            set: (weather) => proxy.set(weather),
            swallowed: () => proxy.swallowed(),
          },
          powerless: settings('powerless'),
          stop,
        };
      },
    });
  }
}
