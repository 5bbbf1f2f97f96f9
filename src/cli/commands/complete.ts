import { type ConnectionOptions, connect } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { printJson, say } from '../output.ts';
import { printLeases } from './leases.ts';

/** Ends a task: with its own token where the environment holds it, otherwise as the caller. */
export async function complete(
  io: Io,
  options: ConnectionOptions & { readonly exitStatus?: number },
  id: string | undefined,
): Promise<number> {
  const task = id ?? io.env.HALLPASS_TASK;
  if (!task) throw new UsageError('Cannot tell which task: name it, or set HALLPASS_TASK');
  const token = task === io.env.HALLPASS_TASK ? io.env.HALLPASS_TASK_TOKEN : undefined;
  const client = connect(io, options, token ? { token: async () => token } : {});
  const done = await client.completeTask(task, options.exitStatus);
  if (options.json) printJson(io, done);
  else await printLeases(io, done.leases);
  const left = done.leases.filter(({ state }) => state !== 'ended').length;
  if (left > 0) say(io, `${left} of the credentials are still being revoked`);
  return EXIT.done;
}
