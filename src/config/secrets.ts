import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import { type Fault, membersOf, optionsOf, type Path, printPath, quote, unwrap } from '../grants/fault.ts';
import type { Json } from '../json.ts';
import type { Environment } from './environment.ts';
import { type ReadFile, readFault } from './files.ts';
import { MAX_SETTING_FILE_BYTES } from './limits.ts';

/** What reading a configuration needs and gathers. */
export interface Loading {
  /** Of the configuration: paths in it are relative to its folder. */
  readonly path: string;
  readonly env: Environment;
  readonly readFile: ReadFile;
  readonly faults: Fault[];
  readonly warnings: Fault[];
  /** Where a value was written that stands elsewhere by now: `password` was `password_file`. By printed path. */
  readonly written: Map<string, Path>;
}

/** Settings as their schema wants them, and as they may be shown. */
export interface Expanded {
  readonly value: Json;
  /** With a mark in the place of every secret. */
  readonly shown: Json;
}

export type Members = { readonly [key: string]: Json };

/**
 * Reads the files and variables that settings refer to. Wherever the schema knows a string `x`, `x_file: path` or
 * `x_env: NAME` may stand for it. A secret can be given in these ways only, or in clear as
 * `x: { insecure_inline: ... }`, which is warned of: files of policy are shared and kept in version control.
 */
export async function expandSettings(
  value: Json,
  schema: z.core.$ZodType,
  path: Path,
  loading: Loading,
): Promise<Expanded> {
  if (Array.isArray(value)) {
    const element = elementOf(schema);
    if (element === null) return { value, shown: value };
    const entries = await Promise.all(
      value.map((entry: Json, i) => expandSettings(entry, element, [...path, i], loading)),
    );
    return { value: entries.map((entry) => entry.value), shown: entries.map((entry) => entry.shown) };
  }
  if (value === null || typeof value !== 'object') return { value, shown: value };
  const known = membersOf(schema);
  const values: [string, Json][] = [];
  const shown: [string, Json][] = [];
  for (const [key, member] of Object.entries(value as Members)) {
    const at = [...path, key];
    const expanded =
      (await expandReference(key, member, known, value as Members, at, loading)) ??
      (await expandMember(key, member, known.get(key), at, loading));
    values.push([expanded.name, expanded.value]);
    shown.push([key, expanded.shown]);
  }
  return { value: Object.fromEntries(values), shown: Object.fromEntries(shown) };
}

type ExpandedMember = Expanded & { readonly name: string };

/** `x_file` and `x_env`, where the schema knows the string `x`; null for all other members. */
async function expandReference(
  key: string,
  member: Json,
  known: ReadonlyMap<string, z.core.$ZodType>,
  siblings: Members,
  at: Path,
  loading: Loading,
): Promise<ExpandedMember | null> {
  const match = /^(.+)_(file|env)$/.exec(key);
  if (match === null || known.has(key)) return null;
  const [, name = '', source] = match;
  const schema = known.get(name);
  if (schema === undefined || !isString(schema)) return null;
  const target = [...at.slice(0, -1), name];
  loading.written.set(printPath(target), at);
  const rivals = [name, `${name}_file`, `${name}_env`].filter(
    (rival) => rival !== key && Object.hasOwn(siblings, rival),
  );
  for (const rival of rivals)
    loading.faults.push({ path: at, message: `Cannot stand beside ${rival}: keep one of the two` });
  const secret = isSecret(name, schema);
  const text =
    typeof member !== 'string' || member === ''
      ? { fault: `Expected ${source === 'file' ? 'a path' : 'the name of a variable'}` }
      : source === 'env'
        ? readVariable(member, loading.env)
        : await readSettingFile(member, secret, at, loading);
  if (typeof text !== 'string') {
    loading.faults.push({ path: at, message: text.fault });
    return { name, value: '', shown: member };
  }
  return { name, value: text, shown: secret ? member : text };
}

async function expandMember(
  key: string,
  member: Json,
  schema: z.core.$ZodType | undefined,
  at: Path,
  loading: Loading,
): Promise<ExpandedMember> {
  if (schema === undefined) return { name: key, value: member, shown: '(unknown)' };
  if (!isString(schema) || !isSecret(key, schema))
    return { name: key, ...(await expandSettings(member, schema, at, loading)) };
  const inline =
    member !== null && typeof member === 'object' && 'insecure_inline' in member
      ? member.insecure_inline
      : null;
  if (typeof inline === 'string' && Object.keys(member ?? {}).length === 1) {
    const message = `A secret stands in clear in the configuration: write ${key}_file or ${key}_env for real use`;
    loading.warnings.push({ path: at, message });
    return { name: key, value: inline, shown: '(secret)' };
  }
  const message = `Cannot take a secret in clear: write ${key}_file: path, ${key}_env: NAME, or, for a trial, ${key}: { insecure_inline: ... }`;
  loading.faults.push({ path: at, message });
  return { name: key, value: '', shown: '(secret)' };
}

function readVariable(name: string, env: Environment): string | { readonly fault: string } {
  const value = Object.hasOwn(env, name) ? env[name] : undefined;
  if (value === undefined || value === '')
    return { fault: `The environment variable ${quote(name)} is not set: set it, or name another` };
  return value;
}

async function readSettingFile(
  name: string,
  secret: boolean,
  at: Path,
  loading: Loading,
): Promise<string | { readonly fault: string }> {
  const path = relativeTo(loading.path, name);
  const text = await readText(path, loading.readFile);
  if (typeof text === 'string') return { fault: text };
  if (secret && (text.mode & 0o004) !== 0) {
    const mode = text.mode.toString(8).padStart(4, '0');
    // A warning only: what Kubernetes and Docker mount as secrets is readable by all within the container.
    loading.warnings.push({
      path: at,
      message: `Everybody on this machine may read ${quote(path)} (mode ${mode}): chmod 0600`,
    });
  }
  // Editors end files with a line break, which is no part of a password.
  return secret ? text.text.replace(/\r?\n$/, '') : text.text;
}

/** Where a path of the configuration leads. */
export function relativeTo(configuration: string, path: string): string {
  return resolve(dirname(configuration), path);
}

/** The text and the mode of a file, or why there is none. */
export async function readText(
  path: string,
  readFile: ReadFile,
): Promise<{ readonly text: string; readonly mode: number } | string> {
  try {
    const { bytes, mode } = await readFile(path, MAX_SETTING_FILE_BYTES);
    if (bytes.length === 0) return `Cannot use ${quote(path)}: it is empty`;
    if (bytes.length > MAX_SETTING_FILE_BYTES)
      return `Cannot use ${quote(path)}: it has more than ${MAX_SETTING_FILE_BYTES} bytes`;
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes), mode };
  } catch (error) {
    if (error instanceof TypeError) return `Cannot use ${quote(path)}: it is not UTF-8`;
    return `Cannot read ${quote(path)}: ${readFault(error)}`;
  }
}

const SECRET_NAME =
  /(?:^|_)(?:password|passphrase|secret|token|private_key|secret_key|secret_access_key|api_key)$|^key$/;

/** By its schema's word, or by its name, lest a schema forget it. */
function isSecret(name: string, schema: z.core.$ZodType): boolean {
  return metaOf(schema).secret === true || SECRET_NAME.test(name);
}

/** What a schema says of itself, in whatever it is wrapped. */
export function metaOf(schema: z.core.$ZodType): Readonly<Record<string, unknown>> {
  const own = (schema as z.ZodType).meta() ?? {};
  const def = (schema as z.core.$ZodTypes)._zod.def;
  const inner =
    'innerType' in def
      ? (def.innerType as z.core.$ZodType)
      : 'in' in def
        ? (def.in as z.core.$ZodType)
        : null;
  return inner === null ? own : { ...metaOf(inner), ...own };
}

function isString(schema: z.core.$ZodType): boolean {
  return optionsOf(schema).some((option) => (unwrap(option) as z.core.$ZodTypes)._zod.def.type === 'string');
}

function elementOf(schema: z.core.$ZodType): z.core.$ZodType | null {
  for (const option of optionsOf(schema)) {
    const def = (unwrap(option) as z.core.$ZodTypes)._zod.def;
    if (def.type === 'array') return def.element;
  }
  return null;
}
