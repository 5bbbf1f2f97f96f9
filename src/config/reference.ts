import { z } from 'zod';
import { optionsOf, unwrap } from '../grants/fault.ts';
import { ENVIRONMENT } from './environment.ts';
import { configSchema } from './schema.ts';
import { metaOf } from './secrets.ts';

/** The reference of the configuration as Markdown: a table of keys for each section, and one of the environment. */
export function renderReference(): string {
  const sections = Object.entries(configSchema.shape).map(([name, schema]) => {
    const rows = [...entryRows(schema, name), ...rowsOf(schema, name)];
    const about = metaOf(schema).description;
    return [`### \`${name}\``, about === undefined ? '' : `${about}.`, table(HEAD, rows)].join('\n\n');
  });
  const variables = Object.entries(ENVIRONMENT).map(([name, { meaning }]) => [`\`${name}\``, meaning]);
  return `${[...sections, '### Environment', table(['variable', 'meaning'], variables)].join('\n\n')}\n`;
}

/** The JSON Schema of the configuration, for editors. It accepts more than `hallpass check` does. */
export function configJsonSchema(): unknown {
  return z.toJSONSchema(configSchema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      delete jsonSchema.typeName;
      delete jsonSchema.secret;
    },
  });
}

const HEAD = ['key', 'type', 'default', 'meaning'];

type Row = readonly string[];

/** A row for the schema's members, and theirs. `<name>` stands for a name that the operator chooses. */
function rowsOf(schema: z.core.$ZodType, path: string): Row[] {
  const found = new Map<string, Row>();
  for (const option of optionsOf(schema)) {
    const def = (unwrap(option) as z.core.$ZodTypes)._zod.def;
    const rows =
      def.type === 'object'
        ? Object.entries(def.shape).flatMap(([name, member]) => memberRows(member, `${path}.${name}`))
        : def.type === 'record'
          ? rowsOf(def.valueType, `${path}.<name>`)
          : def.type === 'array'
            ? rowsOf(def.element, `${path}[]`)
            : [];
    for (const row of rows) {
      const known = found.get(row[0] ?? '');
      found.set(row[0] ?? '', known === undefined ? row : merge(known, row));
    }
  }
  return [...found.values()];
}

/** A row for what stands in a list or under names of the operator's, where that is a plain value. */
function entryRows(schema: z.core.$ZodType, path: string): Row[] {
  const def = (unwrap(schema) as z.core.$ZodTypes)._zod.def;
  const entry =
    def.type === 'array'
      ? { schema: def.element, path: `${path}[]` }
      : def.type === 'record'
        ? { schema: def.valueType, path: `${path}.<name>` }
        : null;
  if (entry === null || rowsOf(entry.schema, path).length > 0) return [];
  const { description = '' } = metaOf(entry.schema);
  return [[`\`${entry.path}\``, typeOf(entry.schema), '', String(description)]];
}

function memberRows(member: z.core.$ZodType, path: string): Row[] {
  const { description = '' } = metaOf(member);
  return [[`\`${path}\``, typeOf(member), defaultOf(member), String(description)], ...rowsOf(member, path)];
}

/** The same key in several alternatives. */
function merge(a: Row, b: Row): Row {
  return a.map((cell, i) => {
    const other = b[i] ?? '';
    if (cell === other || other === '') return cell;
    return cell === '' ? other : i === 1 ? `${cell} or ${other}` : cell;
  });
}

function typeOf(schema: z.core.$ZodType): string {
  const { typeName, secret } = metaOf(schema);
  const name = typeof typeName === 'string' ? typeName : plainTypeOf(schema);
  return secret === true ? `${name}, by \`_file\` or \`_env\`` : name;
}

function plainTypeOf(schema: z.core.$ZodType): string {
  const def = (unwrap(schema) as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case 'object':
    case 'record':
      return 'map';
    case 'array':
      return `list of ${plainTypeOf(def.element)}`;
    case 'enum':
      return Object.values(def.entries)
        .map((value) => `\`${value}\``)
        .join(', ');
    case 'literal':
      return def.values.map((value) => `\`${String(value)}\``).join(', ');
    case 'union':
      return [...new Set(def.options.map(plainTypeOf))].join(' or ');
    case 'number':
      return 'integer';
    default:
      return def.type;
  }
}

function defaultOf(schema: z.core.$ZodType): string {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  if (def.type === 'optional') return '';
  if (def.type !== 'default' && def.type !== 'prefault') return 'required';
  const { defaultValue } = def;
  return typeof defaultValue === 'object' ? '' : `\`${String(defaultValue)}\``;
}

function table(head: Row, rows: readonly Row[]): string {
  const line = (cells: Row) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
