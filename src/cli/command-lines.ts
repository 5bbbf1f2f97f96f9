import { type Command, Option } from 'commander';
import type { AuditOptions } from './commands/audit.ts';
import type { CopyOptions, ProveOptions } from './commands/audit-prove.ts';
import type { VerifyOptions } from './commands/audit-verify.ts';
import type { ExecOptions } from './commands/exec.ts';
import type { ExplainOptions } from './commands/explain.ts';
import type { KillOptions } from './commands/kill.ts';
import type { LeasesOptions } from './commands/leases.ts';
import type { TaskGrantOptions } from './commands/task-grant.ts';
import type { TasksOptions } from './commands/tasks.ts';
import type { ConnectionOptions } from './connect.ts';
import { addDeciding } from './deciding-lines.ts';
import { EXEC_EXIT_HELP } from './exit-codes.ts';
import type { Io } from './io.ts';
import {
  type AskOptions,
  connectionOptions,
  deliveryOptions,
  neverStarted,
  pageOptions,
  waitingOptions,
} from './options.ts';
import { collect, collectValue, parseCount, parseInstant, parseSeconds } from './values.ts';

/** An action for commander: runs with the options and the arguments, and keeps the exit code. */
export type Action = <Options, Args extends unknown[]>(
  run: (options: Options, ...args: Args) => Promise<number>,
) => (...given: unknown[]) => Promise<void>;

type Connection = ConnectionOptions;

/** What a workload does. */
export function addUsing(program: Command, io: Io, action: Action): void {
  neverStarted(deliveryOptions(waitingOptions(connectionOptions(program.command('exec')))))
    .description('run a command with the credentials of a task that ends when the command does')
    .option('--template <in:out>', "write an application's own configuration; may be repeated", collect)
    .option('--no-renew', 'let the credentials end when they would, however long the command runs')
    .argument('<command...>', 'the command and its arguments, after --')
    .option('--dpop', "bind the task's token to a key that never leaves this process")
    .passThroughOptions()
    .addHelpText('after', EXEC_EXIT_HELP)
    .action(
      action(async (options: ExecOptions, command: string[]) =>
        (await import('./commands/exec.ts')).exec(io, options, command),
      ),
    );
  waitingOptions(connectionOptions(program.command('get')))
    .description(
      'open a task and print its credentials, as lines for a shell or as JSON; the task stays open',
    )
    .action(
      action(async (options: Connection & AskOptions) =>
        (await import('./commands/get.ts')).get(io, options),
      ),
    );
  connectionOptions(program.command('complete'))
    .description('end a task and its credentials')
    .argument('[task]', 'its id (or HALLPASS_TASK, with HALLPASS_TASK_TOKEN)')
    .option('--exit-status <status>', 'how the work ended', parseCount(0))
    .action(
      action(async (options: Connection, id?: string) =>
        (await import('./commands/complete.ts')).complete(io, options, id),
      ),
    );
  connectionOptions(program.command('grants'))
    .description('show what you may have')
    .action(
      action(async (options: Connection) => (await import('./commands/grants.ts')).grants(io, options)),
    );
}

/** What anybody reads of his own, and operators and auditors of all. */
export function addReading(program: Command, io: Io, action: Action): void {
  byIdentity(pageOptions(connectionOptions(program.command('tasks'))))
    .description('show tasks, or one with its leases')
    .argument('[task]', 'its id')
    .addOption(new Option('--state <state>').choices(['open', 'ended']))
    .option('--grant <name>')
    .action(
      action(async (options: TasksOptions, id?: string) =>
        (await import('./commands/tasks.ts')).tasks(io, options, id),
      ),
    );
  byIdentity(pageOptions(connectionOptions(program.command('leases'))))
    .description('show leases, or one with all that is known of it')
    .argument('[lease]', 'its id')
    .addOption(new Option('--state <state>').choices(['minting', 'active', 'ending', 'ended']))
    .option('--live', 'those that have not ended')
    .option('--overdue', 'those that should have ended, and have not')
    .addOption(new Option('--outcome <outcome>').choices(['revoked', 'denied', 'expired', 'never-minted']))
    .addOption(
      new Option('--use <use>', 'what is known of its use').choices([
        'used',
        'maybe-used',
        'not-seen',
        'unknown',
      ]),
    )
    .option('--task <id>')
    .option('--grant <name>')
    .option('--target <name>')
    .action(
      action(async (options: LeasesOptions, id?: string) =>
        (await import('./commands/leases.ts')).leases(io, options, id),
      ),
    );
  const log = byIdentity(pageOptions(connectionOptions(program.command('audit'))))
    .description('show events of the log; with --task, the story of one task')
    .option('--task <id>')
    .option('--lease <id>')
    .option('--grant <name>')
    .option('--target <name>')
    .option('--kind <kind>', 'for instance lease.ended')
    .option('--since <instant>', 'for instance 2030-01-31T06:00:00Z', parseInstant)
    .option('--until <instant>', 'for instance 2030-02-01T00:00:00+02:00', parseInstant)
    .addOption(new Option('--outcome <outcome>').choices(['revoked', 'denied', 'expired', 'never-minted']))
    .addOption(new Option('--order <order>').choices(['oldest', 'newest']))
    .action(
      action(async (options: AuditOptions) => (await import('./commands/audit.ts')).audit(io, options)),
    );
  addProving(log, io, action);
}

/** What anybody can do who wants proof. */
function addProving(log: Command, io: Io, action: Action): void {
  connectionOptions(log.command('verify'))
    .description(
      'verify the log, a copy or an export of it, or a receipt; exit code 1 when anything is wrong',
    )
    .argument('[source]', "a broker's URL (or HALLPASS_URL), the folder of a copy, an export, or a receipt")
    .option('--key <key>', 'trust this verifier key, or those in this file; may be repeated', collect)
    .option('--checkpoint <file>', 'the signed checkpoint to hold an export against')
    .option('--archive <folder>', 'where entries lie that the log serves no more')
    .option('--forget', 'remember nothing of this look')
    .action(
      action(async (options: VerifyOptions, source?: string) =>
        (await import('./commands/audit-verify.ts')).verify(io, options, source),
      ),
    );
  connectionOptions(log.command('prove'))
    .description('print the receipt of a lease: a proof that verifies offline')
    .argument('<lease>', 'its id')
    .option('--kind <kind>', 'the event to prove', 'lease.issued')
    .action(
      action(async (options: ProveOptions, id: string) =>
        (await import('./commands/audit-prove.ts')).prove(io, options, id),
      ),
    );
  connectionOptions(log.command('copy'))
    .description('copy the log into a folder, to verify or serve it elsewhere')
    .argument('<folder>')
    .action(
      action(async (options: CopyOptions, folder: string) =>
        (await import('./commands/audit-prove.ts')).copy(io, options, folder),
      ),
    );
}

/** What operators and orchestrators do. */
export function addRuling(program: Command, io: Io, action: Action): void {
  connectionOptions(program.command('revoke'))
    .description('end credentials now')
    .argument('<lease...>', 'their ids')
    .requiredOption('--reason <text>', 'why, for the log')
    .action(
      action(async (options: Connection & { reason: string }, ids: string[]) =>
        (await import('./commands/revoke.ts')).revoke(io, options, ids),
      ),
    );
  addDeciding(program, io, action);
  addKilling(program, io, action);
  byIdentity(connectionOptions(program.command('explain')))
    .description('show check by check why a request would be refused')
    .option('--grant <name>', 'this grant alone')
    .option('--claim <name=text>', 'claim of the identity, or name:=json; may be repeated', collectValue)
    .option('--explain-token <file>', 'verify and explain the token in this file, or on standard input for -')
    .option('--task <name>', 'name of the run')
    .option('--purpose <text>')
    .option('--ticket <name>')
    .option('--param <name=text>', 'parameter, or name:=json; may be repeated', collectValue)
    .option('--credential <name>', 'credential; may be repeated', collect)
    .option('--ttl <duration>', 'lifetime', parseSeconds)
    .action(
      action(async (options: ExplainOptions) => (await import('./commands/explain.ts')).explain(io, options)),
    );
  addTaskGrants(program.command('task-grant').description('cut grants down to single runs'), io, action);
}

function addKilling(program: Command, io: Io, action: Action): void {
  byIdentity(connectionOptions(program.command('kill')))
    .description('end all that matches, and keep it out until it is unblocked')
    .option('--grant <name>')
    .option('--target <name>')
    .option('--task <id>')
    .option('--all', 'everything, in place of the others')
    .requiredOption('--reason <text>', 'why, for the log')
    .option('--block-for <duration>', 'lift the block by itself then', parseSeconds)
    .option('--no-wait', 'do not wait until all of it has ended')
    .action(action(async (options: KillOptions) => (await import('./commands/kill.ts')).kill(io, options)));
  connectionOptions(program.command('blocks'))
    .description('show what is kept out')
    .action(action(async (options: Connection) => (await import('./commands/kill.ts')).blocks(io, options)));
  connectionOptions(program.command('unblock'))
    .description('let in again what a kill keeps out')
    .argument('<block>', 'its id')
    .requiredOption('--reason <text>', 'why, for the log')
    .action(
      action(async (options: Connection & { reason: string }, id: string) =>
        (await import('./commands/kill.ts')).unblock(io, options, id),
      ),
    );
}

function addTaskGrants(group: Command, io: Io, action: Action): void {
  byIdentity(connectionOptions(group.command('create')))
    .description('cut a grant down to one run')
    .requiredOption('--grant <name>', 'grant to cut from')
    .requiredOption('--task <name>', 'the one name of the run')
    .option('--param <name=text>', 'fixed parameter, or name:=json; may be repeated', collectValue)
    .option('--credential <name>', 'only this credential; may be repeated', collect)
    .option('--max-ttl <duration>', 'longest lifetime', parseSeconds)
    .requiredOption('--expires-in <duration>', 'how long it may be used', parseSeconds)
    .option('--uses <count>', 'how often it may be used', parseCount(1), 1)
    .action(
      action(async (options: TaskGrantOptions) =>
        (await import('./commands/task-grant.ts')).createTaskGrant(io, options),
      ),
    );
  connectionOptions(group.command('show'))
    .description('show a task grant and how often it was used')
    .argument('<id>')
    .action(
      action(async (options: Connection, id: string) =>
        (await import('./commands/task-grant.ts')).showTaskGrant(io, options, id),
      ),
    );
}

function byIdentity(command: Command): Command {
  return command
    .option('--issuer <name>', 'issuer of the identity')
    .option('--subject <subject>', 'its subject');
}
