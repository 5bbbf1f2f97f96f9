import { type ConnectionOptions, connect } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import type { PageOptions } from '../options.ts';
import { printJson, printTable, say, when } from '../output.ts';

export interface AuditOptions extends ConnectionOptions, PageOptions {
  readonly task?: string;
  readonly lease?: string;
  readonly grant?: string;
  readonly target?: string;
  readonly issuer?: string;
  readonly subject?: string;
  readonly kind?: string;
  readonly since?: string;
  readonly until?: string;
  readonly order?: 'oldest' | 'newest';
}

/** Shows events of the log. */
export async function audit(io: Io, options: AuditOptions): Promise<number> {
  const { task, lease, grant, target, issuer, subject, kind, since, until, order, cursor, limit } = options;
  const query = { task, lease, grant, target, issuer, subject, kind, since, until, order, cursor, limit };
  const page = await connect(io, options).audit(query);
  if (options.json) {
    printJson(io, page);
    return EXIT.done;
  }
  const rows = page.events.map(({ at, kind: what, actor, about, data }) => [
    when(at),
    what,
    actorText(actor),
    pairs(about),
    pairs(data),
  ]);
  await printTable(io, ['at', 'event', 'by', 'about', 'data'], rows);
  if (page.next_cursor !== null) say(io, `There are more: --cursor ${page.next_cursor}`);
  return EXIT.done;
}

function actorText(actor: unknown): string {
  const { kind, subject } = (actor ?? {}) as { readonly kind?: string; readonly subject?: string };
  return subject ?? kind ?? '-';
}

function pairs(members: unknown): string {
  return Object.entries(members ?? {})
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ');
}
