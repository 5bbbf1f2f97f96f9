import { type ConnectionOptions, connect } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import { reportFailure } from '../failure.ts';
import type { Io } from '../io.ts';
import { printJson, say } from '../output.ts';
import { printLeases } from './leases.ts';

/** Ends credentials now. One that fails does not keep the others; the exit code is that of the first failure. */
export async function revoke(
  io: Io,
  options: ConnectionOptions & { readonly reason: string },
  ids: readonly string[],
): Promise<number> {
  const client = connect(io, options);
  let exit: number = EXIT.done;
  const revoked = [];
  for (const id of ids) {
    try {
      revoked.push(await client.revokeLease(id, options.reason));
    } catch (error) {
      say(io, `Cannot revoke ${id}:`);
      exit ||= reportFailure(io, error);
    }
  }
  if (options.json) printJson(io, { leases: revoked });
  else if (revoked.length > 0) await printLeases(io, revoked);
  const left = revoked.filter(({ state }) => state !== 'ended').length;
  if (left > 0) say(io, `${left} of them are still being revoked; the broker goes on until they are gone`);
  return exit;
}
