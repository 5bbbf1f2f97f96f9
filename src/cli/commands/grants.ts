import { type ConnectionOptions, connect } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { printJson, printTable } from '../output.ts';

/** Shows what the caller may have. */
export async function grants(io: Io, options: ConnectionOptions): Promise<number> {
  const list = await connect(io, options).grants();
  if (options.json) {
    printJson(io, { grants: list });
    return EXIT.done;
  }
  const rows = list.map((grant) => [
    grant.name,
    grant.tasks.join(' '),
    grant.credentials.map(({ name, max_ttl_seconds: max }) => `${name} (up to ${max} s)`).join(', '),
    grant.parameters.map(({ name, required }) => (required ? name : `[${name}]`)).join(' '),
    [grant.purpose, ...grant.purpose_patterns].join(' '),
    grant.ticket_patterns.join(' ') || null,
    [grant.break_glass ? 'break-glass' : '', grant.needs_approval ? 'approval' : '']
      .filter(Boolean)
      .join(', ') || null,
    grant.description,
  ]);
  await printTable(
    io,
    ['grant', 'tasks', 'credentials', 'parameters', 'purpose', 'ticket', 'takes', 'what for'],
    rows,
  );
  return EXIT.done;
}
