import { type Command, Option } from 'commander';
import type { Action } from './command-lines.ts';
import type { ExecOptions } from './commands/exec.ts';
import type { ConnectionOptions } from './connect.ts';
import { EXEC_EXIT_HELP } from './exit-codes.ts';
import { askOptions, connectionOptions, deliveryOptions, neverStarted } from './options.ts';
import { collect, parseCount } from './values.ts';

/** The options of `hallpass kit seal`. */
export interface SealOptions extends ConnectionOptions {
  readonly config: string;
  readonly grant: readonly string[];
  readonly holder: readonly string[];
  readonly threshold: number;
  readonly expires: string;
  readonly out: string;
  readonly stateDirectory: string;
  readonly caFile?: string;
}

/** What the composition root puts behind sealed kits: they hold a broker. Each answers the exit code. */
export interface KitParts {
  seal(options: SealOptions): Promise<number>;
  open(options: ExecOptions, file: string, command: readonly string[]): Promise<number>;
  check(file: string, json: boolean): Promise<number>;
  finish(file: string): Promise<number>;
  replay(options: ConnectionOptions, file: string): Promise<number>;
}

/** What is done with a kit for when no broker can be reached. */
export function addKits(program: Command, parts: KitParts, action: Action): void {
  const kit = program.command('kit').description('grants that open by codes while no broker can be reached');
  connectionOptions(kit.command('seal'))
    .description('make a kit and its single-use codes, while all is well; for operators')
    .addOption(
      new Option('--config <file>', 'the configuration').env('HALLPASS_CONFIG').default('hallpass.yaml'),
    )
    .requiredOption('--grant <name>', 'grant that it opens; may be repeated', collect)
    .requiredOption('--holder <who>', 'who gets a code; may be repeated', collect)
    .requiredOption('--threshold <count>', 'how many codes open it', parseCount(2))
    .requiredOption('--expires <day>', 'day from which it opens no more, for instance 2030-01-31')
    .requiredOption('--out <file>', 'new file for the kit')
    .option(
      '--state-directory <folder>',
      'where its state is kept when it is opened',
      '/var/lib/hallpass/kits',
    )
    .option('--ca-file <file>', 'certificates to trust when it asks whether the broker is ready')
    .action(action((options: SealOptions) => parts.seal(options)));
  neverStarted(deliveryOptions(askOptions(kit.command('open'))))
    .description('run a command with credentials of a kit; refused while the broker is ready')
    .option('--template <in:out>', "write an application's own configuration; may be repeated", collect)
    .option('--no-renew', 'let the credentials end when they would, however long the command runs')
    .argument('<kit>', 'its file')
    .argument('<command...>', 'the command and its arguments, after --')
    .addHelpText('after', EXEC_EXIT_HELP)
    .action(
      action((options: ExecOptions, file: string, command: string[]) => parts.open(options, file, command)),
    );
  kit
    .command('check')
    .description('try a kit, its codes and its targets; uses no code up')
    .argument('<kit>', 'its file')
    .option('--json', 'print JSON')
    .action(action((options: { json?: true }, file: string) => parts.check(file, options.json ?? false)));
  kit
    .command('finish')
    .description('end what an opening left that was killed; uses no code up')
    .argument('<kit>', 'its file')
    .action(action((_options: object, file: string) => parts.finish(file)));
  connectionOptions(kit.command('replay'))
    .description("bring what a kit did on this machine into the broker's log; for operators")
    .argument('<kit>', 'its file')
    .action(action((options: ConnectionOptions, file: string) => parts.replay(options, file)));
}
