import type { Kill, KillProgress } from '../../http/contract.ts';
import { type ConnectionOptions, connect } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { printJson, printTable, say, when } from '../output.ts';

export interface KillOptions extends ConnectionOptions {
  readonly issuer?: string;
  readonly subject?: string;
  readonly grant?: string;
  readonly target?: string;
  readonly task?: string;
  readonly all?: true;
  readonly reason: string;
  /** Seconds until its block is lifted by itself. */
  readonly blockFor?: number;
  /** False: does not wait until all of it has ended. */
  readonly wait: boolean;
}

/** Between two looks at what is left. */
const LOOK_EVERY_MS = 500;

/** Ends all that matches and keeps it out; shows what is left until nothing is, or only what lapses by itself. */
export async function kill(io: Io, options: KillOptions): Promise<number> {
  const { issuer, subject, grant, target, task, all, reason } = options;
  if (!all && [issuer, subject, grant, target, task].every((member) => member === undefined)) {
    throw new UsageError(
      'Cannot tell what to kill: name an issuer, subject, grant, target or task, or --all',
    );
  }
  const client = connect(io, options);
  const block_seconds = options.blockFor;
  let progress = await client.kill({ issuer, subject, grant, target, task, all, reason, block_seconds });
  const { id, tasks, leases, lifts_at: liftsAt } = progress.kill;
  const until = liftsAt === null ? '' : ` ${when(liftsAt)}, or until`;
  say(
    io,
    `${leases} leases of ${tasks} tasks are due; nothing that matches begins until${until}: hallpass unblock ${id}`,
  );
  if (tasks === 0 && leases === 0 && !all)
    say(io, `Nothing that is open matches ${matchOf(progress.kill)}: if it should, compare the spelling`);
  let left = -1;
  while (options.wait && endable(progress) > 0) {
    if (progress.left !== left) say(io, `${progress.left} left`);
    left = progress.left;
    await io.runtime.sleep(LOOK_EVERY_MS);
    progress = await client.readKill(id);
  }
  if (options.json) printJson(io, progress);
  else await printRest(io, progress);
  return EXIT.done;
}

/** What is left and will not just lapse. */
function endable({ rest }: KillProgress): number {
  return rest.filter((at) => !at.expiry_only).reduce((sum, { left }) => sum + left, 0);
}

async function printRest(io: Io, { left, rest }: KillProgress): Promise<void> {
  if (left === 0) return say(io, 'All of it has ended');
  const rows = rest.map((at) => [
    at.target,
    at.left,
    at.failing,
    when(at.latest_expiry),
    at.expiry_only ? 'lapses then: its target cannot withdraw it' : 'is being ended',
  ]);
  await printTable(io, ['target', 'left', 'failing', 'last expiry', ''], rows);
}

/** Shows the blocks that stand. */
export async function blocks(io: Io, options: ConnectionOptions): Promise<number> {
  const standing = await connect(io, options).blocks();
  if (options.json) printJson(io, { blocks: standing });
  else await printBlocks(io, standing);
  return EXIT.done;
}

function printBlocks(io: Io, standing: readonly Kill[]): Promise<void> {
  const rows = standing.map((block) => [
    block.id,
    matchOf(block),
    when(block.ordered_at),
    block.ordered_by.subject,
    block.reason,
  ]);
  return printTable(io, ['block', 'keeps out', 'since', 'by', 'reason'], rows);
}

function matchOf({ issuer, subject, grant, target, task }: Kill): string {
  const members = Object.entries({ issuer, subject, grant, target, task }).filter(
    ([, value]) => value !== null,
  );
  return members.length === 0 ? 'everything' : members.map(([name, value]) => `${name} ${value}`).join(', ');
}

/** Lets in again what a kill keeps out. */
export async function unblock(
  io: Io,
  options: ConnectionOptions & { readonly reason: string },
  id: string,
): Promise<number> {
  const lifted = await connect(io, options).liftBlock(id, options.reason);
  if (options.json) printJson(io, { kill: lifted });
  else say(io, `Lifted: ${matchOf(lifted)} may begin again`);
  return EXIT.done;
}
