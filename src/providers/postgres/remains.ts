import type pg from 'pg';
import { ProviderError } from '../../errors.ts';
import type { Connections } from './connections.ts';
import type { EndPlan } from './handle.ts';
import { MAX_DISOWN_ATTEMPTS } from './limits.ts';
import type { Sight } from './look.ts';
import type { PostgresSettings } from './settings.ts';
import { identifier, literal } from './sql.ts';

/**
 * Gives ourselves the rights of a role that we made, and to act as it, where we lack them and are no superuser:
 * cutting its sessions and dropping its objects needs that. Not done when it is made, for it would slow every check
 * of our rights while it lives.
 */
export async function grantToOurselves(client: pg.ClientBase, role: string): Promise<void> {
  const { rows } = await client.query(OUR_RIGHTS, [role]);
  const rights: { version: number; privileged: boolean } | undefined = rows[0];
  if (!rights || rights.privileged) return;
  // Before 16 a membership inherits if the member does; since 16 each membership says so itself.
  const inherit = rights.version >= 160_000 ? ' WITH INHERIT TRUE' : '';
  await client.query(`GRANT ${role} TO CURRENT_USER${inherit}`);
}

// A role that is gone needs no grant, and could not be granted.
const OUR_RIGHTS = `
  SELECT version, coalesce(pg_has_role(role, 'USAGE')
    AND CASE WHEN version >= 160000 THEN pg_has_role(role, 'SET') ELSE true END, true) AS privileged
  FROM (SELECT to_regrole($1)::oid AS role, current_setting('server_version_num')::int AS version) it`;

/** Removes what the role owns and holds, in every database where there is such a thing. */
export async function disown(
  {
    connections,
    settings,
    plan,
    role,
    signal,
  }: {
    readonly connections: Connections;
    readonly settings: PostgresSettings;
    readonly plan: EndPlan;
    readonly role: string;
    readonly signal: AbortSignal;
  },
  sight: Sight,
  attempts: Map<string, number>,
): Promise<void> {
  // What all databases share goes with any of them.
  const databases = new Set(sight.databases.map((database) => database ?? settings.database));
  for (const database of databases) {
    const before = attempts.get(database) ?? 0;
    if (before === MAX_DISOWN_ATTEMPTS) {
      throw new ProviderError(
        'target-forbidden',
        `Cannot end a login: in database "${database}" it still owns or holds what the broker's role cannot take back: grant the owners of those objects to that role, or remove it by hand`,
      );
    }
    await connections.run(database, 'remove what a login owns', signal, async (client) => {
      await grantToOurselves(client, role);
      await client.query(disownStatements(role, plan));
    });
    attempts.set(database, before + 1);
  }
}

/** One transaction: what is reassigned is never dropped. */
function disownStatements(role: string, { ownedObjects }: EndPlan): string {
  if (ownedObjects === 'drop') return `DROP OWNED BY ${role} RESTRICT`;
  if (ownedObjects === 'drop_cascade') return `DROP OWNED BY ${role} CASCADE`;
  const heir = identifier(ownedObjects.reassign_to);
  // What remains to drop are privileges.
  return `REASSIGN OWNED BY ${role} TO ${heir}; DROP OWNED BY ${role} RESTRICT`;
}

/** A prepared transaction outlives its session and its role, keeps its locks, and could be committed later. */
export async function rollBackPrepared(
  connections: Connections,
  role: string,
  sight: Sight,
  signal: AbortSignal,
): Promise<void> {
  for (const { gid, database } of sight.prepared) {
    await connections.run(database, 'roll back a prepared transaction', signal, async (client) => {
      await grantToOurselves(client, role);
      // Only a superuser and the role itself may do it, and not within a transaction.
      await client.query(`SET ROLE ${role}`);
      try {
        await client.query(`ROLLBACK PREPARED ${literal(gid)}`);
      } finally {
        await client.query('RESET ROLE');
      }
    });
  }
}
