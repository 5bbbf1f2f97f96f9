import type { AuditEvent } from '../../audit/event.ts';
import type { Client } from '../../client/client.ts';
import type { AuditQuery } from '../../http/contract.ts';
import { type ConnectionOptions, connect } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { sentence } from '../log/story.ts';
import type { PageOptions } from '../options.ts';
import { clean, printJson, printTable, say, when } from '../output.ts';

export interface AuditOptions extends ConnectionOptions, PageOptions {
  readonly task?: string;
  readonly lease?: string;
  readonly grant?: string;
  readonly target?: string;
  readonly issuer?: string;
  readonly subject?: string;
  readonly kind?: string;
  readonly outcome?: 'revoked' | 'denied' | 'expired' | 'never-minted';
  readonly since?: string;
  readonly until?: string;
  readonly order?: 'oldest' | 'newest';
}

/** Shows events of the log. */
export async function audit(io: Io, options: AuditOptions): Promise<number> {
  const { task, lease, grant, target, issuer, subject, kind, outcome, since, until, order, cursor, limit } =
    options;
  const query = {
    task,
    lease,
    grant,
    target,
    issuer,
    subject,
    kind,
    outcome,
    since,
    until,
    order,
    cursor,
    limit,
  };
  const client = connect(io, options);
  if (task !== undefined && !options.json) return tellStory(io, client, query);
  const page = await client.audit(query);
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

/** The events of a task in sentences, with the seconds since the first. */
async function tellStory(io: Io, client: Client, query: AuditQuery): Promise<number> {
  let first: number | null = null;
  let day = '';
  for (let cursor = query.cursor; ; ) {
    const page = await client.audit({ ...query, cursor });
    for (const event of page.events as unknown as AuditEvent[]) {
      const at = Date.parse(event.at);
      first ??= at;
      if (event.at.slice(0, 10) !== day) {
        day = event.at.slice(0, 10);
        io.out(`${day}\n`);
      }
      const since = `+${((at - first) / 1000).toFixed(1)}s`.padStart(9);
      io.out(`  ${event.at.slice(11, 19)} ${since}  ${clean(sentence(event))}\n`);
    }
    if (page.next_cursor === null) break;
    cursor = page.next_cursor;
  }
  if (first === null) say(io, 'Nothing found');
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
