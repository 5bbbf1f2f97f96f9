import { type Command, CommanderError } from 'commander';
import type { Json } from '../json.ts';
import { EXIT } from './exit-codes.ts';
import { collect, collectPair, collectValue, parseCount, parseInstant, parseSeconds } from './values.ts';

/** What every command that talks to a broker takes. */
export function connectionOptions(command: Command): Command {
  return command
    .option('--url <url>', 'address of the broker (or HALLPASS_URL)')
    .option('--token-file <file>', 'file with the identity token (or HALLPASS_TOKEN_FILE, HALLPASS_TOKEN)')
    .option('--token-command <command>', 'shell command that prints the identity token')
    .option('--insecure-http', 'allow http: beyond loopback: tokens and secrets then travel in clear')
    .option('--json', 'print JSON');
}

/** What opens a task. */
export interface AskOptions {
  readonly grant: string;
  readonly task: string;
  readonly purpose?: string;
  readonly ticket?: string;
  readonly param?: Readonly<Record<string, Json>>;
  readonly credential?: readonly string[];
  readonly ttl?: number;
  readonly taskGrant?: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly notBefore?: string;
  readonly practice?: true;
}

export function askOptions(command: Command): Command {
  return command
    .requiredOption('--grant <name>', 'grant to use')
    .requiredOption('--task <name>', 'name of this run')
    .option('--purpose <text>', 'what it is for, for the log')
    .option('--ticket <name>', 'ticket that it is for')
    .option('--param <name=text>', 'parameter of the grant, or name:=json; may be repeated', collectValue)
    .option('--credential <name>', 'only this credential of the grant; may be repeated', collect)
    .option('--ttl <duration>', 'lifetime, for instance 15m', parseSeconds)
    .option('--task-grant <id>', 'task grant to use');
}

/** What opens a task that somebody waits for. */
export function waitingOptions(command: Command): Command {
  return askOptions(command)
    .option(
      '--not-before <instant>',
      'have it approved now, to start then, for instance 2030-01-31T06:00:00Z',
      parseInstant,
    )
    .option('--practice', 'rehearse a break-glass grant: nothing is minted, and no command is run');
}

/**
 * For a command that runs another, whose exit codes are that one's own: a line that cannot be read ends as all that
 * keeps it from being started.
 */
export function neverStarted(command: Command): Command {
  return command.exitOverride(({ exitCode, code, message }) => {
    throw new CommanderError(exitCode === 0 ? 0 : EXIT.notStarted, code, message);
  });
}

/** How credentials enter the environment. */
export interface DeliveryOptions {
  readonly prefix?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}

export function deliveryOptions(command: Command): Command {
  return command
    .option(
      '--prefix <credential=PREFIX_>',
      "begin a credential's variables so; may be repeated",
      collectPair,
    )
    .option('--env <VARIABLE=credential.member>', 'set one more variable; may be repeated', collectPair);
}

/** What a list takes. */
export interface PageOptions {
  readonly limit?: number;
  readonly cursor?: string;
}

export function pageOptions(command: Command): Command {
  return command
    .option('--limit <count>', 'rows to show', parseCount(1))
    .option('--cursor <cursor>', 'go on after an earlier page');
}
