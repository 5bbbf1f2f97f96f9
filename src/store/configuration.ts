import type { NewEvent } from '../audit/event.ts';
import { instant } from '../instant.ts';
import type { Json } from '../json.ts';
import type { Database } from './database.ts';

/** What a configuration is, by digests alone. */
export interface ConfigurationDigests {
  readonly digest: string;
  readonly parts: Readonly<Record<string, string>>;
}

/** What of a configuration is remembered. */
export interface RememberedConfiguration extends ConfigurationDigests {
  /** What each grant asked for as approval, by its name: see approvals/weakened.ts. */
  readonly approvals: Json;
}

/** What was loaded last; null before the first start. */
export async function readConfiguration(database: Database): Promise<RememberedConfiguration | null> {
  const [before] = await database.query<RememberedConfiguration>(
    { name: 'read_configuration', text: 'select digest, parts, approvals from configuration' },
    [],
  );
  return before ?? null;
}

/** Remembers what is loaded now. */
export async function storeConfiguration(
  database: Database,
  { digest, parts, approvals }: RememberedConfiguration,
  now: number,
): Promise<void> {
  await database.query(
    {
      name: 'store_configuration',
      text: `
        insert into configuration (digest, parts, loaded_at, approvals) values ($1, $2::jsonb, $3, $4::jsonb)
        on conflict (singleton) do update set digest = $1, parts = $2::jsonb, loaded_at = $3, approvals = $4::jsonb`,
    },
    [digest, JSON.stringify(parts), instant(now), JSON.stringify(approvals)],
  );
}

/** The event that says what changed; null when nothing did. */
export function configurationEvent(
  before: ConfigurationDigests | null,
  after: ConfigurationDigests,
): NewEvent | null {
  if (before?.digest === after.digest) return null;
  const old = before?.parts ?? {};
  const names = Object.keys(after.parts).sort();
  return {
    kind: 'configuration.loaded',
    actor: { kind: 'system' },
    about: {},
    data: {
      digest: after.digest,
      before: before?.digest ?? null,
      added: names.filter((name) => !Object.hasOwn(old, name)),
      changed: names.filter((name) => Object.hasOwn(old, name) && old[name] !== after.parts[name]),
      removed: Object.keys(old)
        .filter((name) => !Object.hasOwn(after.parts, name))
        .sort(),
    },
  };
}
