import type { PgColumn } from 'drizzle-orm/pg-core';

/**
 * Reads rows of `select *` as drizzle would, for statements that run with every request: drizzle builds each of its
 * statements anew, which costs more than the database takes to answer. Instants become milliseconds since the epoch.
 */
export function rowReader<Row>(columns: Readonly<Record<string, PgColumn>>): (stored: StoredRow) => Row {
  const names = Object.entries(columns).map(([key, column]) => [key, column.name] as const);
  return (stored) => {
    const row: Record<string, unknown> = {};
    for (const [key, name] of names) {
      const value = stored[name];
      row[key] = value instanceof Date ? value.getTime() : (value ?? null);
    }
    return row as Row;
  };
}

/** A row as both drivers give it. */
export type StoredRow = Readonly<Record<string, unknown>>;
