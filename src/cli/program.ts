import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { type Action, addReading, addRuling, addUsing } from './command-lines.ts';
import { addDelivering } from './delivery-lines.ts';
import { EXIT, EXIT_HELP } from './exit-codes.ts';
import { addIdentity, addSignIn } from './identity-lines.ts';
import type { Io } from './io.ts';
import { addKits, type KitParts } from './kit-lines.ts';

/** What the composition root puts behind the two commands that are a broker themselves. Each answers the exit code. */
export interface ProgramParts {
  readonly io: Io;
  readonly version: string;
  serve(options: { readonly config: string }): Promise<number>;
  archive?(options: {
    readonly config: string;
    readonly before: number;
    readonly folder: string;
  }): Promise<number>;
  rewrap?(options: { readonly config: string }): Promise<number>;
  kit?: KitParts;
  check(options: {
    readonly config: string;
    readonly json: boolean;
    readonly live: boolean;
  }): Promise<number>;
}

/** A command line that was understood, and its exit code once the command has run. */
export interface Program {
  readonly command: Command;
  exitCode(): number;
}

/** Reads and runs a command line, without the program's own name. Answers the exit code; never rejects. */
export async function runProgram(args: readonly string[], parts: ProgramParts): Promise<number> {
  const { command, exitCode } = buildProgram(parts);
  try {
    await command.parseAsync(args, { from: 'user' });
    return exitCode() === EXIT.done ? await outcomeOfOutput(parts.io) : exitCode();
  } catch (error) {
    if (error instanceof CommanderError)
      return error.exitCode === 0 || error.exitCode === EXIT.notStarted ? error.exitCode : EXIT.usage;
    const { reportFailure } = await import('./failure.ts');
    return reportFailure(parts.io, error);
  }
}

/** A full disk is a failure: who reads the file later must know. A reader that has seen enough (`head`) is none. */
async function outcomeOfOutput(io: Io): Promise<number> {
  const fault = await io.written();
  if (fault === null || fault.code === 'EPIPE') return EXIT.done;
  io.err(`hallpass: Cannot write the output: ${fault.code ?? fault.message}\n`);
  return EXIT.failed;
}

/** The commands. What they do is loaded when one of them runs: starting costs no more than reading the line. */
export function buildProgram(parts: ProgramParts): Program {
  let exitCode: number = EXIT.done;
  const { io } = parts;
  const action: Action =
    <Options, Args extends unknown[]>(run: (options: Options, ...args: Args) => Promise<number>) =>
    async (...given: unknown[]) => {
      // Commander gives the arguments, then the options, then the command.
      exitCode = await run(given.at(-2) as Options, ...(given.slice(0, -2) as Args));
    };
  const program = new Command('hallpass')
    .description('Just-in-time credentials for one task')
    .version(parts.version)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(text) })
    .addHelpText('after', EXIT_HELP);
  addBroker(program, parts, action);
  addUsing(program, io, action);
  addDelivering(program, io, action);
  addReading(program, io, action);
  addRuling(program, io, action);
  addSignIn(program, io, action);
  addIdentity(program, io, action);
  return { command: program, exitCode: () => exitCode };
}

const configOption = () =>
  new Option('--config <file>', 'the configuration').env('HALLPASS_CONFIG').default('hallpass.yaml');

function addBroker(program: Command, parts: ProgramParts, action: Action): void {
  program
    .command('serve')
    .description('run a broker')
    .addOption(configOption())
    .action(action((options: { config: string }) => parts.serve(options)));
  program
    .command('check')
    .description('read a configuration and report every fault in it')
    .addOption(configOption())
    .option(
      '--live',
      'also mint and end a real credential at every target, and name the rights that are missing',
    )
    .option('--json', 'print JSON')
    .action(
      action(({ config, json, live }: { config: string; json?: true; live?: true }) =>
        parts.check({ config, json: json ?? false, live: live ?? false }),
      ),
    );
  if (parts.kit !== undefined) addKits(program, parts.kit, action);
  const { archive, rewrap } = parts;
  if (rewrap !== undefined)
    program
      .command('rewrap')
      .description("seal the broker's signing keys anew under the master key that seals now")
      .addOption(configOption())
      .action(action((options: { config: string }) => rewrap(options)));
  if (archive === undefined) return;
  program
    .command('archive')
    .description('move months of the audit log that are over from the store into a folder')
    .argument('<folder>')
    .addOption(configOption())
    .requiredOption('--before <date>', 'months that ended before this, for instance 2030-01-01', parseDate)
    .action(
      action((options: { config: string; before: number }, folder: string) =>
        archive({ ...options, folder }),
      ),
    );
}

function parseDate(text: string): number {
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw new InvalidArgumentError('Write a date such as 2030-01-31.');
  return at;
}
