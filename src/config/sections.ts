import { z } from 'zod';
import { quote, schemaFaults, suggest } from '../grants/fault.ts';
import { configName } from '../grants/schema.ts';
import type { Json } from '../json.ts';
import { configSchema, type RawConfig } from './schema.ts';
import { type Expanded, expandSettings, type Loading, type Members } from './secrets.ts';

/** A section with what its references stand for, and as it may be shown; null when it is absent. */
export async function expandSection(
  raw: Members,
  name: 'database' | 'keys' | 'audit' | 'notifications' | 'signals' | 'sign_in',
  loading: Loading,
): Promise<{ readonly value: Members; readonly shown: Members } | null> {
  const section = raw[name];
  if (section === undefined) return null;
  const expanded: Expanded = await expandSettings(section, configSchema.shape[name], [name], loading);
  return { value: { [name]: expanded.value }, shown: { [name]: expanded.shown } };
}

/** Grants check themselves, each with all its faults. */
const grantNames = z.record(configName, z.custom<Json>());

/** What could be read of each section. A grant is read on its own. */
export type Sections = {
  -readonly [Name in keyof RawConfig]?: Name extends 'grants' ? Members : RawConfig[Name];
};

/** Reads each section on its own, so that one that is broken hides no other. Absent are those that are. */
export function readSections(raw: Members, loading: Loading): Sections {
  const shape: Readonly<Record<string, z.ZodType>> = {
    ...configSchema.shape,
    grants: grantNames.default({}),
  };
  for (const name of Object.keys(raw)) {
    if (!Object.hasOwn(shape, name))
      loading.faults.push({
        path: [name],
        message: `Unknown key ${quote(name)}: ${suggest(name, Object.keys(shape))}`,
      });
  }
  const sections: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(shape)) {
    const section = Object.hasOwn(raw, name) ? raw[name] : undefined;
    const read = schema.safeParse(section);
    if (read.success) sections[name] = read.data;
    else loading.faults.push(...schemaFaults(read.error.issues, schema, section, [name]));
  }
  return sections as Sections;
}
