import type { Page } from '../../broker/verbs.ts';

const DEFAULT_LIMIT = 100;

/** The page that a query asks for. */
export function pageOf(query: {
  readonly cursor?: string | undefined;
  readonly limit?: number | undefined;
}): Page {
  return { cursor: query.cursor ?? null, limit: query.limit ?? DEFAULT_LIMIT };
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** The members that are there. */
export function defined<T extends object>(value: T): Partial<Defined<T>> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Partial<
    Defined<T>
  >;
}
