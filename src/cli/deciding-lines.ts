import type { Command } from 'commander';
import type { Action } from './command-lines.ts';
import type { ApproveOptions } from './commands/requests.ts';
import type { ConnectionOptions } from './connect.ts';
import type { Io } from './io.ts';
import { connectionOptions } from './options.ts';
import { parseSeconds } from './values.ts';

type Connection = ConnectionOptions;

/** What people decide about one another: approval before, and review after. */
export function addDeciding(program: Command, io: Io, action: Action): void {
  connectionOptions(program.command('requests'))
    .description('show what waits for approval or has it: your own, and what you may approve')
    .argument('[request]', 'its id')
    .action(
      action(async (options: Connection, id?: string) =>
        (await import('./commands/requests.ts')).requests(io, options, id),
      ),
    );
  connectionOptions(program.command('approve'))
    .description('approve exactly what a request asks for')
    .argument('<request>', 'its id')
    .option('--ttl <duration>', 'for no longer than this', parseSeconds)
    .option('--digest <digest>', 'only if the request is still this one')
    .action(
      action(async (options: ApproveOptions, id: string) =>
        (await import('./commands/requests.ts')).approve(io, options, id),
      ),
    );
  for (const [how, what] of [
    ['deny', 'deny a request: one denial ends it'],
    ['cancel', 'take back a request of your own'],
  ] as const) {
    connectionOptions(program.command(how))
      .description(what)
      .argument('<request>', 'its id')
      .requiredOption('--reason <text>', 'why, for the log')
      .action(
        action(async (options: Connection & { reason: string }, id: string) =>
          (await import('./commands/requests.ts')).end(io, options, id, how),
        ),
      );
  }
  addReviewing(connectionOptions(program.command('review')), io, action);
}

function addReviewing(reviewing: Command, io: Io, action: Action): void {
  reviewing
    .description(
      'show the reviews of break-glass that nobody has closed: of your own uses, and yours to close',
    )
    .action(action(async (options: Connection) => (await import('./commands/review.ts')).list(io, options)));
  connectionOptions(reviewing.command('show'))
    .description('show a review')
    .argument('<review>', 'its id')
    .action(
      action(async (options: Connection, id: string) =>
        (await import('./commands/review.ts')).show(io, options, id),
      ),
    );
  connectionOptions(reviewing.command('close'))
    .description('close the review of what somebody else did')
    .argument('<review>', 'its id')
    .requiredOption('--finding <text>', 'what was found, for the log')
    .action(
      action(async (options: Connection & { finding: string }, id: string) =>
        (await import('./commands/review.ts')).close(io, options, id),
      ),
    );
}
