import type { Lease, LeasesQuery } from '../../http/contract.ts';
import { type ConnectionOptions, connect } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import type { PageOptions } from '../options.ts';
import { printJson, printTable, say, when } from '../output.ts';

export interface LeasesOptions extends ConnectionOptions, PageOptions {
  readonly state?: Lease['state'];
  readonly live?: true;
  readonly overdue?: true;
  readonly outcome?: NonNullable<Lease['outcome']>;
  readonly use?: NonNullable<Lease['use']>['verdict'];
  readonly task?: string;
  readonly grant?: string;
  readonly target?: string;
  readonly issuer?: string;
  readonly subject?: string;
}

/** Shows one lease, or those that the options select. */
export async function leases(io: Io, options: LeasesOptions, id: string | undefined): Promise<number> {
  const client = connect(io, options);
  if (id !== undefined) {
    const lease = await client.readLease(id);
    if (options.json) printJson(io, lease);
    else await printTable(io, ['lease', id], leaseDetails(lease));
    return EXIT.done;
  }
  const { state, live, overdue, outcome, use, task, grant, target, issuer, subject, cursor, limit } = options;
  const query: LeasesQuery = {
    state,
    live: live ? 'true' : undefined,
    overdue: overdue ? 'true' : undefined,
    outcome,
    use,
    task,
    grant,
    target,
    issuer,
    subject,
    cursor,
    limit,
  };
  const page = await client.listLeases(query);
  if (options.json) printJson(io, page);
  else await printLeases(io, page.leases);
  if (!options.json && page.next_cursor !== null) say(io, `There are more: --cursor ${page.next_cursor}`);
  return EXIT.done;
}

export function printLeases(io: Io, list: readonly Lease[]): Promise<void> {
  const head = ['lease', 'credential', 'target', 'for', 'state', 'expires', 'outcome'];
  const rows = list.map((lease) => [
    lease.id,
    lease.credential,
    lease.target,
    lease.identity.subject,
    lease.overdue ? `${lease.state}, OVERDUE` : lease.state,
    when(lease.expires_at),
    lease.outcome,
  ]);
  return printTable(io, head, rows);
}

function leaseDetails(lease: Lease): [string, string][] {
  return Object.entries(lease)
    .filter(([name]) => name !== 'id')
    .map(([name, value]) => [
      name.replaceAll('_', ' '),
      typeof value === 'string' ? value : JSON.stringify(value),
    ]);
}
