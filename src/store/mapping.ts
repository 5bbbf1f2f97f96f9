import type { PgColumn } from 'drizzle-orm/pg-core';

/**
 * Reads rows of `select *` as drizzle would, for statements that run with every request: drizzle builds each of its
 * statements anew, which costs more than the database takes to answer. Instants become milliseconds since the epoch.
 */
export function rowReader<Row>(columns: Readonly<Record<string, PgColumn>>): (stored: StoredRow) => Row {
  const names = Object.entries(columns).map(
    ([key, column]) => [key, column.name, column.getSQLType() === 'timestamptz'] as const,
  );
  return (stored) => {
    const row: Record<string, unknown> = {};
    for (const [key, name, isInstant] of names) {
      const value = stored[name] ?? null;
      row[key] = isInstant ? milliseconds(value) : value;
    }
    return row as Row;
  };
}

/** An instant as a driver gives it in a row, or as Postgres writes it in the JSON of one. */
function milliseconds(instant: unknown): unknown {
  if (instant instanceof Date) return instant.getTime();
  return typeof instant === 'string' ? Date.parse(instant) : instant;
}

/** A row as both drivers give it, or as JSON. */
export type StoredRow = Readonly<Record<string, unknown>>;
