import type { Connections } from './connections.ts';
import { INVENTORY_PAGE } from './limits.ts';

/** All roles whose name begins with the mark, in the order of their names, read in pages. */
export async function* inventory(
  connections: Connections,
  database: string,
  mark: string,
  signal: AbortSignal,
): AsyncGenerator<{ readonly name: string }> {
  const sql = `
    SELECT rolname::text AS name FROM pg_roles
    WHERE starts_with(rolname::text, $1) AND rolname > $2::name
    ORDER BY rolname LIMIT ${INVENTORY_PAGE}`;
  for (let after = ''; ; ) {
    const page: { name: string }[] = await connections.run(
      database,
      'list the logins',
      signal,
      async (client) => {
        const { rows } = await client.query(sql, [mark, after]);
        return rows;
      },
    );
    yield* page;
    const last = page.at(-1);
    if (!last || page.length < INVENTORY_PAGE) return;
    after = last.name;
  }
}
