import type { Credential, TaskHandle } from '../../client/task.ts';
import { type ConnectionOptions, connect } from '../connect.ts';
import { awsVariables } from '../credentials/aws.ts';
import { postgresVariables } from '../credentials/postgres.ts';
import { quoteShell } from '../exec/template.ts';
import { EXIT } from '../exit-codes.ts';
import { reportFailure } from '../failure.ts';
import type { Io } from '../io.ts';
import type { AskOptions } from '../options.ts';
import { printJson, say, when } from '../output.ts';
import { openRequest } from './open.ts';
import { sayAwaiting } from './requests.ts';

/** Prints the credentials of a new task that stays open: as shell lines for `eval`, or as JSON. */
export async function get(io: Io, options: ConnectionOptions & AskOptions): Promise<number> {
  const task = await connect(io, options).openTask(openRequest(options), {
    onAwaiting: sayAwaiting(io),
  });
  if (options.json) {
    const credentials = task.credentials.map(({ name, lease, secret }) => ({ name, lease, secret }));
    printJson(io, { task: task.task, token: task.token, credentials });
  } else {
    io.out(shellLines(task));
  }
  if (task.task.practice) {
    say(
      io,
      'Practice: nothing was minted. End the task with: hallpass complete; its review: hallpass review',
    );
    return EXIT.done;
  }
  const lost = await io.written();
  if (lost !== null) return endUnread(io, task, lost);
  const { heartbeat_seconds: beat } = task.task;
  const expiry = when(task.credentials.map(({ lease }) => lease.expires_at).toSorted()[0] ?? null);
  say(
    io,
    `The task stays open until ${expiry}${beat === null ? '' : `, or ${beat} s without a heartbeat`}. End it with: hallpass complete (with HALLPASS_TASK and HALLPASS_TASK_TOKEN set as printed)`,
  );
  return EXIT.done;
}

/** Nobody has the credentials, or the task's token to end them by: they are asked back. */
async function endUnread(
  io: Io,
  task: TaskHandle,
  { code, message }: NodeJS.ErrnoException,
): Promise<number> {
  const why = `Cannot print the credentials: ${code ?? message}`;
  try {
    await task.complete();
    say(io, `${why}. The task was ended`);
  } catch (error) {
    say(io, `${why}. The task could not be ended either, and ends by itself`);
    reportFailure(io, error);
  }
  return EXIT.failed;
}

function shellLines(task: TaskHandle): string {
  const variables = Object.assign(
    { HALLPASS_TASK: task.id, HALLPASS_TASK_TOKEN: task.token },
    ...task.credentials.map((credential) => variablesOf(credential, task.credentials.length > 1)),
  ) as Record<string, string>;
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}=${quoteShell(value)}\n`)
    .join('');
}

/** No file can be left behind, so the password is a variable. Of several credentials, each has its name before it. */
function variablesOf({ name, secret }: Credential, several: boolean): Record<string, string> {
  const prefix = several ? `${variableName(name)}_` : '';
  return Object.fromEntries(
    Object.entries(usualVariables(secret)).map(([key, value]) => [`${prefix}${key}`, value]),
  );
}

function usualVariables(secret: Credential['secret']): Record<string, string> {
  switch (secret.type) {
    case 'aws':
      return awsVariables(secret);
    case 'postgres':
      return { ...postgresVariables(secret), PGPASSWORD: secret.values.password ?? '' };
    default:
      return Object.fromEntries(
        Object.entries(secret.values).map(([key, value]) => [variableName(key), value]),
      );
  }
}

function variableName(text: string): string {
  return text.toUpperCase().replace(/[^A-Z0-9]/g, '_');
}
