import { UsageError } from '../failure.ts';

/** What a template may name: credential, then member, to its value. */
export type TemplateValues = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Makes a value safe for the place where it lands, or throws RangeError where it cannot. */
type Filter = (value: string) => string;

const FILTERS: Readonly<Record<string, Filter>> = {
  json: quoteJson,
  yaml: quoteJson,
  shell: quoteShell,
  ini: plainLine,
  url: encodeUrl,
  raw: plainText,
};

/** The filter of a file's ending; others have none, and each of their placeholders must name one. */
const ENDINGS: Readonly<Record<string, string>> = {
  json: 'json',
  yaml: 'yaml',
  yml: 'yaml',
  sh: 'shell',
  env: 'shell',
  ini: 'ini',
  cfg: 'ini',
  conf: 'ini',
  properties: 'ini',
};

const PLACEHOLDER = /\{\{(.*?)\}\}/gs;
/** `credential.member`, and perhaps `| filter`. A credential's name may hold dots, a member may not. */
const CONTENT = /^\s*([\w.-]+)\.(\w+)\s*(?:\|\s*(\w+)\s*)?$/;

/** The filter that a file's name asks for; null: every placeholder names its own. `config.yaml.tmpl` counts as YAML. */
export function filterOf(path: string): string | null {
  const ending = path
    .replace(/\.(tmpl|tpl|template)$/, '')
    .split('.')
    .at(-1);
  return (ending !== undefined && Object.hasOwn(ENDINGS, ending) && ENDINGS[ending]) || null;
}

/**
 * Fills in `{{ credential.member }}` and `{{ credential.member | filter }}`: each stands for a whole value, quotes
 * included where the format has them. Throws UsageError, without a value, for names and filters that do not exist, and
 * for a value that the place cannot hold.
 */
export function fillTemplate(text: string, values: TemplateValues, defaultFilter: string | null): string {
  return text.replace(PLACEHOLDER, (whole, content: string) => {
    const [, credential = '', member = '', named] = CONTENT.exec(content) ?? [];
    if (member === '')
      throw new UsageError(`Cannot read ${whole} in the template: write {{ credential.member }}`);
    const value = valueAt(values, credential, member);
    if (value === undefined)
      throw new UsageError(`Cannot fill in ${whole}: write one of ${namesOf(values).join(', ')}`);
    const name = named ?? defaultFilter;
    const filter = name !== null && Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
    if (!filter)
      throw new UsageError(
        `Cannot fill in ${whole}: name a filter, one of ${Object.keys(FILTERS).join(', ')}`,
      );
    try {
      return filter(value);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new UsageError(`Cannot fill in ${whole}: ${error.message}`);
    }
  });
}

function valueAt(values: TemplateValues, credential: string, member: string): string | undefined {
  const members = Object.hasOwn(values, credential) ? values[credential] : undefined;
  return members && Object.hasOwn(members, member) ? members[member] : undefined;
}

function namesOf(values: TemplateValues): string[] {
  return Object.entries(values).flatMap(([name, members]) =>
    Object.keys(members).map((member) => `${name}.${member}`),
  );
}

/** A JSON string, which is a YAML double-quoted scalar too once what YAML does not print is escaped (YAML 1.2.2, 5.1). */
function quoteJson(value: string): string {
  return JSON.stringify(value).replace(
    /[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** One word of a POSIX shell. */
export function quoteShell(value: string): string {
  if (value.includes('\0')) throw new RangeError('its value holds a NUL, which no shell can');
  return `'${value.replaceAll("'", "'\\''")}'`;
}

/** INI dialects disagree on quotes and comments: what any of them would read differently is refused. */
function plainLine(value: string): string {
  if (/[\p{Cc}\u2028\u2029;#"'\\$%=]|^\s|\s$|^$|^\[/u.test(value))
    throw new RangeError('its value has characters that INI files do not agree on; use another format');
  return value;
}

/** One part of a URL (RFC 3986, section 2.3): nothing but unreserved characters and escapes is left. */
function encodeUrl(value: string): string {
  if (/\p{Cs}/u.test(value)) throw new RangeError('its value is no well-formed text');
  return encodeURIComponent(value).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function plainText(value: string): string {
  if (/[\p{Cc}]/u.test(value.replace(/[\n\t]/g, '')))
    throw new RangeError('its value has control characters; name another filter');
  return value;
}
