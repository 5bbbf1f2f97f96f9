import type { CreateTaskGrantRequest, TaskGrant } from '../../http/contract.ts';
import type { Json } from '../../json.ts';
import { type ConnectionOptions, connect } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { printJson, printTable } from '../output.ts';

export interface TaskGrantOptions extends ConnectionOptions {
  readonly grant: string;
  readonly task: string;
  readonly param?: Readonly<Record<string, Json>>;
  readonly credential?: readonly string[];
  readonly maxTtl?: number;
  readonly issuer?: string;
  readonly subject?: string;
  readonly expiresIn: number;
  readonly uses: number;
}

/** Cuts a grant down to one run. */
export async function createTaskGrant(io: Io, options: TaskGrantOptions): Promise<number> {
  const { issuer, subject } = options;
  if ((issuer === undefined) !== (subject === undefined))
    throw new UsageError('Cannot bind to half an identity: give both --issuer and --subject');
  const request: CreateTaskGrantRequest = {
    grant: options.grant,
    task: options.task,
    parameters: options.param as CreateTaskGrantRequest['parameters'],
    credentials: options.credential ? [...options.credential] : undefined,
    max_ttl_seconds: options.maxTtl,
    subject: issuer === undefined || subject === undefined ? undefined : { issuer, subject },
    expires_in_seconds: options.expiresIn,
    uses: options.uses,
  };
  return show(io, options, await connect(io, options).createTaskGrant(request));
}

/** Shows a task grant and how often it was used. */
export async function showTaskGrant(io: Io, options: ConnectionOptions, id: string): Promise<number> {
  return show(io, options, await connect(io, options).readTaskGrant(id));
}

async function show(io: Io, options: ConnectionOptions, made: TaskGrant): Promise<number> {
  if (options.json) {
    printJson(io, made);
  } else {
    const rows = Object.entries(made)
      .filter(([name]) => name !== 'id')
      .map(([name, value]) => [
        name.replaceAll('_', ' '),
        typeof value === 'string' ? value : JSON.stringify(value),
      ]);
    await printTable(io, ['task grant', made.id], rows);
  }
  return EXIT.done;
}
