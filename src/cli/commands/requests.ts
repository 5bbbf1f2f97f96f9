import type { ApprovalRequest } from '../../http/contract.ts';
import { type ConnectionOptions, connect } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { printJson, printTable, say, when } from '../output.ts';

/** Shows the requests that wait or were approved, or one with all that is known of it. */
export async function requests(io: Io, options: ConnectionOptions, id: string | undefined): Promise<number> {
  const client = connect(io, options);
  if (id === undefined) {
    const list = await client.requests();
    if (options.json) printJson(io, { requests: list });
    else await printRequests(io, list);
    return EXIT.done;
  }
  const request = await client.readRequest(id);
  if (options.json) printJson(io, request);
  else await printDetails(io, request);
  return EXIT.done;
}

export interface ApproveOptions extends ConnectionOptions {
  readonly ttl?: number;
  readonly digest?: string;
}

/** Approves what the request says now, or what `--digest` names and nothing else. */
export async function approve(io: Io, options: ApproveOptions, id: string): Promise<number> {
  const client = connect(io, options);
  const seen = await client.readRequest(id);
  if (!options.json) await printDetails(io, seen);
  const after = await client.approveRequest(id, options.digest ?? seen.digest, options.ttl);
  if (options.json) printJson(io, after);
  else say(io, after.state === 'approved' ? 'Approved: it may be opened' : 'Counted: it waits for more');
  return EXIT.done;
}

/** Denies a request, or takes one's own back. */
export async function end(
  io: Io,
  options: ConnectionOptions & { readonly reason: string },
  id: string,
  how: 'deny' | 'cancel',
): Promise<number> {
  const client = connect(io, options);
  const after = await (how === 'deny'
    ? client.denyRequest(id, options.reason)
    : client.cancelRequest(id, options.reason));
  if (options.json) printJson(io, after);
  else say(io, how === 'deny' ? 'Denied' : 'Cancelled');
  return EXIT.done;
}

function printRequests(io: Io, list: readonly ApprovalRequest[]): Promise<void> {
  const rows = list.map((request) => [
    request.id,
    request.practice ? `practice, ${request.state}` : request.state,
    who(request),
    request.grant,
    request.task,
    request.purpose,
    request.ticket,
    `${request.approvals.length} of ${request.stages.reduce((sum, needed) => sum + needed, 0)}`,
    when(request.expires_at),
  ]);
  return printTable(
    io,
    ['request', 'state', 'who', 'grant', 'task', 'why', 'ticket', 'approvals', 'lapses'],
    rows,
  );
}

function printDetails(io: Io, request: ApprovalRequest): Promise<void> {
  const rows = Object.entries({ ...request, identity: who(request) }).map(([name, value]) => [
    name.replaceAll('_', ' '),
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
  return printTable(io, ['request', request.id], rows);
}

function who({ identity, on_behalf_of: humans }: ApprovalRequest): string {
  const self = `${identity.subject} at ${identity.issuer}`;
  return humans.length === 0 ? self : `${self}, for ${humans.join(', ')}`;
}

/** Tells somebody whose task waits for approval what to do. */
export function sayAwaiting(io: Io): (request: ApprovalRequest) => void {
  return ({ id, expires_at: lapses, not_before: start }) =>
    say(
      io,
      `Waiting for approval until ${when(lapses)}${start === null ? '' : `, to start at ${when(start)}`}. Approvers run: hallpass approve ${id}`,
    );
}
