/** Stands for the quoted name of the lease's own role in an operator's statement. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: it is a token of ours, not a template of JavaScript's.
export const ROLE_TOKEN = '${role}';

/** A stretch of SQL text. `hole` is a template that is not filled in yet; `token` is `ROLE_TOKEN`. */
interface Part {
  readonly kind: 'code' | 'string' | 'name' | 'dollar' | 'comment' | 'hole' | 'token';
  readonly text: string;
}

/** What a statement may begin with. Roles themselves are ours to make: `CREATE ROLE` and `ALTER ROLE` are refused below. */
const ALLOWED: ReadonlySet<string> = new Set([
  'grant',
  'revoke',
  'alter',
  'create',
  'comment',
  'security',
  'select',
  'insert',
  'update',
  'delete',
  'with',
]);

/** Attributes that would make the role, or one that it is a member of, more than a plain login. */
const ATTRIBUTES = ['superuser', 'createrole', 'createdb', 'replication', 'bypassrls'] as const;

/**
 * What speaks against an operator's statement, with its templates filled in or not: each fault is a sentence that
 * says what to write instead. `forbiddenNames` must not occur in it as names.
 */
export function statementFaults(sql: string, forbiddenNames: ReadonlySet<string>): string[] {
  const parts = split(sql);
  if (!parts) return ['a quote or a comment in it is never closed'];
  const faults: string[] = [];
  const code = parts
    .map(({ kind, text }) => (kind === 'code' ? text : kind === 'comment' ? ' ' : ' ? '))
    .join('');
  const words: readonly string[] = code.toLowerCase().match(WORDS) ?? [];
  if (code.includes('\0')) faults.push('it holds a NUL character');
  if (words.length === 0) return [...faults, 'it is empty: remove it'];
  if (code.replace(/;\s*$/, '').includes(';')) {
    faults.push('it holds more than one statement: write each as an entry of its own');
  }
  const [first = '', second = ''] = words;
  if (!ALLOWED.has(first)) {
    faults.push(
      `it begins with ${first.toUpperCase()}: write one of ${[...ALLOWED].join(', ').toUpperCase()}`,
    );
  }
  if ((first === 'create' || first === 'alter') && /^(role|user|group|database|system)$/.test(second)) {
    if (!(second === 'user' && words[2] === 'mapping')) {
      faults.push(
        `${first.toUpperCase()} ${second.toUpperCase()} is not for a grant: use roles, settings and connection_limit`,
      );
    }
  }
  for (const attribute of ATTRIBUTES) {
    if (words.includes(attribute))
      faults.push(`${attribute.toUpperCase()} makes a login too powerful: remove it`);
  }
  for (const name of namesIn(parts, words)) {
    if (forbiddenNames.has(name)) faults.push(`the role "${name}" is too powerful: grant a role of your own`);
  }
  return faults;
}

/** The statement with the role's quoted name in the place of each token, and no semicolon at its end. */
export function fillRole(sql: string, quotedRole: string): string {
  return sql
    .replaceAll(ROLE_TOKEN, () => quotedRole)
    .trim()
    .replace(/\s*;$/, '');
}

/**
 * What speaks against the places of the templates in a statement.
 * A filter quotes for a place between tokens; inside quotes, or glued to them, its quotes could end theirs.
 */
export function templateFaults(sql: string): string[] {
  const parts = split(sql);
  if (!parts) return [];
  const faults: string[] = [];
  for (const part of parts) {
    const quoted =
      part.kind === 'string' || part.kind === 'name' || part.kind === 'dollar' || part.kind === 'comment';
    if (quoted && part.text.includes('{{')) {
      faults.push(
        `the template in ${part.text.slice(0, 60)} stands inside quotes or a comment: take it out of them`,
      );
    }
  }
  if (/[\p{L}\p{N}_$'"&\\]\{\{|\}\}[\p{L}\p{N}_$'"&\\]/u.test(sql) && faults.length === 0) {
    faults.push(
      'a template is glued to a word or a quote: put a space, a dot, a comma or a parenthesis between',
    );
  }
  return faults;
}

function namesIn(parts: readonly Part[], words: readonly string[]): Set<string> {
  const quoted = parts.filter((part) => part.kind === 'name').map((part) => part.text.slice(1, -1));
  return new Set([...words, ...quoted.map((name) => name.replaceAll('""', '"'))]);
}

/** Every character beyond ASCII is a letter to PostgreSQL. */
const WORD = '[A-Za-z_\\u0080-\\u{10ffff}][A-Za-z0-9_$\\u0080-\\u{10ffff}]*';
const WORDS = new RegExp(WORD, 'gu');

/** One pattern for each kind, tried in order at each place (PostgreSQL manual, section 4.1). */
const LEXEMES: readonly { readonly kind: Part['kind']; readonly pattern: RegExp }[] = [
  { kind: 'token', pattern: /\$\{role\}/y },
  { kind: 'hole', pattern: /\{\{.*?\}\}/sy },
  { kind: 'string', pattern: /[eE]'(?:[^'\\]|''|\\.)*'/sy },
  { kind: 'string', pattern: /'(?:[^']|'')*'/y },
  { kind: 'name', pattern: /"(?:[^"]|"")*"/y },
  {
    kind: 'dollar',
    pattern: /\$((?:[A-Za-z_\u0080-\u{10ffff}][A-Za-z0-9_\u0080-\u{10ffff}]*)?)\$.*?\$\1\$/suy,
  },
  { kind: 'comment', pattern: /--[^\n\r]*/y },
  { kind: 'code', pattern: new RegExp(WORD, 'uy') },
];

/** Null when something is opened and never closed. */
function split(sql: string): Part[] | null {
  const parts: Part[] = [];
  let at = 0;
  while (at < sql.length) {
    const part = sql.startsWith('/*', at) ? blockComment(sql, at) : lexeme(sql, at);
    if (!part) return null;
    parts.push(part);
    at += part.text.length;
  }
  return parts;
}

function lexeme(sql: string, at: number): Part | null {
  for (const { kind, pattern } of LEXEMES) {
    pattern.lastIndex = at;
    const text = pattern.exec(sql)?.[0];
    if (text) return { kind, text };
  }
  const char = sql.charAt(at);
  return char === "'" || char === '"' ? null : { kind: 'code', text: char };
}

/** Comments nest in PostgreSQL. */
function blockComment(sql: string, from: number): Part | null {
  let depth = 0;
  for (let at = from; at < sql.length; at++) {
    if (sql.startsWith('/*', at)) {
      depth++;
      at++;
    } else if (sql.startsWith('*/', at)) {
      depth--;
      at++;
      if (depth === 0) return { kind: 'comment', text: sql.slice(from, at + 1) };
    }
  }
  return null;
}
