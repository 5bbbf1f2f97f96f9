import { PROBLEMS } from './wire.ts';

/** A page to send. */
export interface DocsPage {
  readonly html: string;
  /** What stands in its one style element, for the content security policy. */
  readonly style: string;
}

/** What of an OpenAPI document this page reads. */
export interface ApiDocument {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly paths?: Readonly<Record<string, object>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, unknown>> };
}

interface Operation {
  readonly operationId?: string;
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly description?: string;
  readonly security?: unknown;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly schema?: Schema;
  }[];
  readonly requestBody?: { readonly content?: Content };
  readonly responses?: Readonly<
    Record<string, { readonly description?: string; readonly content?: Content }>
  >;
}

type Content = Readonly<Record<string, { readonly schema?: Schema }>>;

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly anyOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
}

/** The reference for people: one page, no script, nothing from elsewhere. */
export function renderDocs(document: ApiDocument): DocsPage {
  const { info } = document;
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      path,
      method,
      operation: operation as Operation,
    })),
  );
  const tags = [...new Set(operations.map(({ operation }) => operation.tags?.[0] ?? 'Other'))];
  const schemas = Object.entries(document.components?.schemas ?? {}) as [string, Schema][];
  const sections = tags.map((tag) => {
    const own = operations.filter(({ operation }) => (operation.tags?.[0] ?? 'Other') === tag);
    return `<h2 id="${slug(tag)}">${escapeHtml(tag)}</h2>${own.map(operationHtml).join('')}`;
  });
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${escapeHtml(info.title)} API</title><style>${STYLE}</style></head><body>
<h1>${escapeHtml(info.title)} API <small>${escapeHtml(info.version)}</small></h1>
<p>${prose(info.description ?? '')} The same as a document: <a href="/openapi.json">/openapi.json</a>.</p>
<nav>${[...tags, 'Schemas', 'Problems'].map((tag) => `<a href="#${slug(tag)}">${escapeHtml(tag)}</a>`).join(' · ')}</nav>
${sections.join('\n')}
<h2 id="schemas">Schemas</h2>${schemas.map(([name, schema]) => schemaHtml(name, schema)).join('')}
<h2 id="problems">Problems</h2>${problemsHtml()}
</body></html>
`;
  return { html, style: STYLE };
}

function operationHtml(entry: { path: string; method: string; operation: Operation }): string {
  const { path, method, operation } = entry;
  const parameters = (operation.parameters ?? []).map((parameter) => [
    `<code>${escapeHtml(parameter.name)}</code>${parameter.required ? '' : ' <i>optional</i>'}`,
    parameter.in,
    describeSchema(parameter.schema ?? {}),
  ]);
  const body = Object.values(operation.requestBody?.content ?? {})[0]?.schema;
  const answers = Object.entries(operation.responses ?? {}).map(([status, { description, content }]) => [
    status,
    prose(description ?? ''),
    typeHtml(Object.values(content ?? {})[0]?.schema ?? {}),
  ]);
  return `<section id="${slug(operation.operationId ?? path)}">
<h3><code>${method.toUpperCase()} ${escapeHtml(path)}</code> ${escapeHtml(operation.summary ?? '')}</h3>
${operation.description ? `<p>${prose(operation.description)}</p>` : ''}
${operation.security ? '' : '<p>Needs no token.</p>'}
${parameters.length > 0 ? table(['Parameter', 'In', 'What'], parameters) : ''}
${body ? `<p>Body: ${typeHtml(body)}</p>` : ''}
${table(['Status', 'Meaning', 'Body'], answers)}
</section>`;
}

function schemaHtml(name: string, schema: Schema): string {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([member, type]) => [
    `<code>${escapeHtml(member)}</code>${required.has(member) ? '' : ' <i>optional</i>'}`,
    describeSchema(type),
  ]);
  const body = rows.length > 0 ? table(['Member', 'What'], rows) : `<p>${describeSchema(schema)}</p>`;
  return `<section id="schema-${escapeHtml(name)}"><h3>${escapeHtml(name)}</h3>${body}</section>`;
}

function problemsHtml(): string {
  const rows = Object.entries(PROBLEMS).map(([code, { status, title, meaning }]) => [
    `<code id="problem-${code}">${code}</code>`,
    String(status),
    `${escapeHtml(title)}. ${prose(meaning)}`,
  ]);
  return table(['Code', 'Status', 'Meaning'], rows);
}

function describeSchema(schema: Schema): string {
  const bounds = [
    schema.minimum === undefined ? '' : `at least ${schema.minimum}`,
    schema.maximum === undefined ? '' : `at most ${schema.maximum}`,
    schema.maxLength === undefined ? '' : `at most ${schema.maxLength} characters`,
  ].filter((text) => text !== '');
  const parts = [typeHtml(schema), ...bounds, schema.description ? prose(schema.description) : ''];
  return parts.filter((text) => text !== '').join('; ');
}

function typeHtml(schema: Schema): string {
  if (schema.$ref) {
    const name = escapeHtml(schema.$ref.split('/').at(-1) ?? '');
    return `<a href="#schema-${name}">${name}</a>`;
  }
  if (schema.enum)
    return schema.enum.map((value) => `<code>${escapeHtml(JSON.stringify(value))}</code>`).join(' ');
  const choices = schema.anyOf ?? schema.allOf;
  if (choices) return choices.map(typeHtml).join(' or ');
  if (schema.items) return `array of ${typeHtml(schema.items)}`;
  if (schema.properties) return `{ ${Object.keys(schema.properties).map(escapeHtml).join(', ')} }`;
  if (typeof schema.additionalProperties === 'object')
    return `object of ${typeHtml(schema.additionalProperties)}`;
  const types = [schema.type ?? []].flat().join(' or ');
  return escapeHtml(schema.format ? `${types} (${schema.format})` : types);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: string, row: readonly string[]) =>
    row.map((cell) => `<${tag}>${cell}</${tag}>`).join('');
  const body = rows.map((row) => `<tr>${cells('td', row)}</tr>`).join('');
  return `<table><thead><tr>${cells('th', head)}</tr></thead><tbody>${body}</tbody></table>`;
}

/** Text with code in backquotes. */
function prose(text: string): string {
  return escapeHtml(text).replace(/`([^`]+)`/g, '<code>$1</code>');
}

function slug(text: string): string {
  return escapeHtml(text.toLowerCase().replace(/[^a-z0-9]+/g, '-'));
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

const STYLE = `
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
h1 small{font-weight:400;opacity:.6}
h2{margin-top:3rem;border-bottom:1px solid #8886}
h3{margin-top:2rem;font-size:1.05rem}
code{font:.9em ui-monospace,monospace}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8883}
th{font-weight:600;opacity:.7}
`;
