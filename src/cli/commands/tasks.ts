import type { Task } from '../../http/contract.ts';
import { type ConnectionOptions, connect } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import type { PageOptions } from '../options.ts';
import { printJson, printTable, say, when } from '../output.ts';
import { printLeases } from './leases.ts';

export interface TasksOptions extends ConnectionOptions, PageOptions {
  readonly state?: Task['state'];
  readonly grant?: string;
  readonly issuer?: string;
  readonly subject?: string;
}

/** Shows one task with its leases, or those that the options select. */
export async function tasks(io: Io, options: TasksOptions, id: string | undefined): Promise<number> {
  const client = connect(io, options);
  if (id !== undefined) {
    const read = await client.readTask(id);
    if (options.json) {
      printJson(io, read);
    } else {
      await printTasks(io, [read.task]);
      await printLeases(io, read.leases);
    }
    return EXIT.done;
  }
  const { state, grant, issuer, subject, cursor, limit } = options;
  const page = await client.listTasks({ state, grant, issuer, subject, cursor, limit });
  if (options.json) printJson(io, page);
  else await printTasks(io, page.tasks);
  if (!options.json && page.next_cursor !== null) say(io, `There are more: --cursor ${page.next_cursor}`);
  return EXIT.done;
}

function printTasks(io: Io, list: readonly Task[]): Promise<void> {
  const head = ['task', 'name', 'grant', 'by', 'state', 'opened', 'ended', 'exit'];
  const rows = list.map((task) => [
    task.id,
    task.name,
    task.grant,
    task.identity.subject,
    `${task.practice ? 'practice, ' : ''}${task.state}${task.end_reason === null ? '' : `: ${task.end_reason}`}`,
    when(task.opened_at),
    when(task.ended_at),
    task.exit_status,
  ]);
  return printTable(io, head, rows);
}
