import { type Fault, printPath } from '../grants/fault.ts';
import type { Json } from '../json.ts';
import { err, type Result } from '../result.ts';
import { type Environment, overrides } from './environment.ts';
import { type ReadFile, readFault } from './files.ts';
import { MAX_FILE_BYTES } from './limits.ts';
import type { ConfigFault } from './report.ts';
import type { Loading, Members } from './secrets.ts';
import { readYaml, type YamlDocument } from './yaml.ts';

/** The configuration's file, parsed. */
export async function readDocument(
  path: string,
  readFile: ReadFile,
): Promise<Result<YamlDocument, ConfigFault[]>> {
  const whole = { file: path, line: null, column: null, path: '' };
  let bytes: Uint8Array;
  try {
    ({ bytes } = await readFile(path, MAX_FILE_BYTES));
  } catch (error) {
    const message = `Cannot read the configuration: ${readFault(error)}; name another by --config or HALLPASS_CONFIG`;
    return err([{ ...whole, message }]);
  }
  const document = readYaml(bytes);
  if (document.ok) return document;
  return err(
    document.error.map(({ path: at, message, position }) => ({
      ...whole,
      line: position?.line ?? null,
      column: position?.column ?? null,
      path: printPath(at),
      message,
    })),
  );
}

export function inEnvironment({ path, message }: Fault): ConfigFault {
  return { file: 'environment', line: null, column: null, path: printPath(path), message };
}

/** Finds where a fault stands: in the file, or in a variable that replaces what the file says. */
export function placer(path: string, document: YamlDocument, loading: Loading, env: Environment) {
  const replaced = new Map(overrides(env).map(({ path: at, variable }) => [printPath(at), variable]));
  return (fault: Fault): ConfigFault => {
    const printed = printPath(fault.path);
    const variable = replaced.get(printed) ?? replaced.get(printed.replace(/_env$/, ''));
    if (variable !== undefined) return inEnvironment({ ...fault, path: [variable] });
    const at = loading.written.get(printed) ?? fault.path;
    const position = document.positionOf(at);
    const { line = null, column = null } = position ?? {};
    return { file: path, line, column, path: printPath(at), message: fault.message };
  };
}

/** The file's content with what the environment replaces. A secret becomes a reference to its variable. */
export function override(raw: Json, env: Environment): Json {
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw)) return raw;
  const whole: Record<string, Json> = { ...(raw as Members) };
  for (const { variable, path, value } of overrides(env)) {
    const [section = '', key = ''] = path.map(String);
    const before = whole[section] ?? {};
    if (typeof before !== 'object' || Array.isArray(before)) continue;
    const { [key]: _, [`${key}_file`]: __, [`${key}_env`]: ___, ...rest } = before as Members;
    whole[section] =
      section === 'database' ? { ...rest, [`${key}_env`]: variable } : { ...rest, [key]: value };
  }
  return whole;
}
