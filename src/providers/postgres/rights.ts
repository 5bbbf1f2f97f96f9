import type { EndContext } from './end.ts';

/** What the broker's own role may do at the target. */
export interface Rights {
  readonly superuser: boolean;
  readonly createRole: boolean;
  /** Whether it has the rights of the roles that it is a member of. Since 16 each membership says so itself. */
  readonly inherits: boolean;
  /** The target's clock, in milliseconds since the epoch. */
  readonly clock: number;
  readonly roles: readonly {
    readonly name: string;
    readonly exists: boolean;
    readonly grantable: boolean;
    readonly superuser: boolean;
  }[];
  readonly reassignTo: { readonly name: string; readonly usable: boolean } | null;
  /** Databases that take connections, but not ours. */
  readonly closedDatabases: readonly string[];
}

/** Reads the rights that ending and minting need, and those to grant `roles`. */
export async function readRights(
  { connections, settings }: EndContext,
  roles: readonly string[],
  signal: AbortSignal,
): Promise<Rights> {
  const heir = typeof settings.owned_objects === 'object' ? settings.owned_objects.reassign_to : null;
  return connections.run(
    settings.database,
    "read the rights of the broker's role",
    signal,
    async (client) => {
      const us = await client.query(US, [heir]);
      const granted = await client.query(ROLES, [roles]);
      return { ...us.rows[0], clock: Number(us.rows[0].clock), roles: granted.rows };
    },
  );
}

const US = `
  SELECT r.rolsuper AS superuser, r.rolsuper OR r.rolcreaterole AS "createRole",
    r.rolsuper OR r.rolinherit OR current_setting('server_version_num')::int >= 160000 AS inherits,
    extract(epoch FROM clock_timestamp()) * 1000 AS clock,
    (SELECT json_build_object('name', $1::text, 'usable',
        coalesce((SELECT pg_has_role(h.oid, 'USAGE') FROM pg_roles h WHERE h.rolname = $1::name), false))
      WHERE $1 IS NOT NULL) AS "reassignTo",
    ARRAY(SELECT datname::text FROM pg_database
      WHERE datallowconn AND NOT has_database_privilege(oid, 'CONNECT')) AS "closedDatabases"
  FROM pg_roles r WHERE r.rolname = current_user`;

// Before 16, CREATEROLE grants every role but superusers; since then it takes the ADMIN option.
const ROLES = `
  SELECT n AS name, r.oid IS NOT NULL AS exists, coalesce(r.rolsuper, false) AS superuser,
    coalesce(us.rolsuper OR pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')
      OR (us.rolcreaterole AND current_setting('server_version_num')::int < 160000), false) AS grantable
  FROM unnest($1::text[]) n
    LEFT JOIN pg_roles r ON r.rolname = n::name
    JOIN pg_roles us ON us.rolname = current_user`;
