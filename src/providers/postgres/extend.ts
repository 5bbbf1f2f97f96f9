import type { Runtime } from '../../runtime.ts';
import type { Ending } from '../provider.ts';
import type { Connections } from './connections.ts';
import { CONCURRENT_UPDATE, vendorCode } from './errors.ts';
import { MAX_COLLISIONS } from './limits.ts';
import type { PostgresSettings } from './settings.ts';
import { identifier, instant } from './sql.ts';
import { pause } from './waiting.ts';

const DOING = 'extend a login';

/** Moves `VALID UNTIL`. Sessions that are open stay so. */
export async function extend(
  {
    runtime,
    settings,
    connections,
  }: { readonly runtime: Runtime; readonly settings: PostgresSettings; readonly connections: Connections },
  ending: Ending,
  expiresAt: number,
  signal: AbortSignal,
): Promise<void> {
  const sql = `ALTER ROLE ${identifier(ending.name)} VALID UNTIL ${instant(expiresAt)}`;
  for (let collisions = 0; ; collisions++) {
    try {
      await connections.run(settings.database, DOING, signal, (client) => client.query(sql));
      return;
    } catch (error) {
      if (vendorCode(error) !== CONCURRENT_UPDATE || collisions === MAX_COLLISIONS) throw error;
      await pause(runtime, collisions, DOING, signal);
    }
  }
}
