import { EXIT } from '../exit-codes.ts';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { say } from '../output.ts';
import { apply, type Change, describe, merged, openJournal, readPlain } from '../setup/change.ts';
import { CLIENTS, type Proposal, pg, type SetupOptions } from '../setup/clients.ts';
import { pgService } from './credential.ts';

export type ClientName = keyof typeof CLIENTS | 'pg';

/** Shows how a client's configuration would change, and with `yes` changes it; with `undo` it becomes what it was. */
export async function setup(
  io: Io,
  options: SetupOptions & { readonly yes?: true; readonly undo?: true },
  client: ClientName,
): Promise<number> {
  const journal = openJournal(io.env, client);
  const { changes, notes } = options.undo
    ? { changes: undoing(journal.read()), notes: [] }
    : await propose(io, options, client);
  const real = changes.filter(({ before, after }) => before !== after);
  for (const change of real) io.out(describe(change));
  if (real.length === 0) say(io, 'Nothing to change');
  else if (!options.yes) say(io, 'Nothing is changed yet: add --yes');
  else
    write(
      real,
      () => (options.undo ? journal.remove() : journal.write(merged(journal.read(), real))),
      options.undo,
    );
  if (options.undo && options.yes) journal.remove();
  for (const note of notes) say(io, note);
  return EXIT.done;
}

async function propose(io: Io, options: SetupOptions, client: ClientName): Promise<Proposal> {
  if (client !== 'pg') return CLIENTS[client](io.env, options);
  const service = options.service ?? 'hallpass';
  return pg(io.env, options, service, await pgService(io, options, service));
}

/** The journal is written first: what is half done can be undone. */
function write(changes: readonly Change[], note: () => void, undo: true | undefined): void {
  if (!undo) note();
  for (const change of changes) apply(change);
  if (undo) note();
}

/** Each file as it was, where it still is what we wrote; one that somebody changed since is his. */
function undoing(journal: readonly Change[]): Change[] {
  return journal.map(({ path, before, after, mode }) => {
    const now = readPlain(path);
    if (now !== after && now !== before)
      throw new UsageError(
        `Cannot undo: ${JSON.stringify(path)} was changed since; remove what is ours by hand`,
      );
    return { path, before: now, after: before, mode };
  });
}
