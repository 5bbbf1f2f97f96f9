import type { Command } from 'commander';
import type { Action } from './command-lines.ts';
import type { AwsIdentityOptions } from './commands/identity-aws.ts';
import type { NewKeyOptions, SignOptions } from './commands/key.ts';
import type { LoginOptions } from './commands/login.ts';
import type { Io } from './io.ts';
import { parseCount, parseSeconds } from './values.ts';

/** How a person signs in, and out. */
export function addSignIn(program: Command, io: Io, action: Action): void {
  program
    .command('login')
    .description('sign in as a person, for the commands that follow')
    .option('--url <url>', 'address of the broker (or HALLPASS_URL)')
    .option('--insecure-http', 'allow http: beyond loopback: tokens and secrets then travel in clear')
    .option('--device', 'with a browser on another device')
    .option('--issuer <url>', 'OpenID provider, if not the one that the broker names')
    .option('--client-id <id>', 'its public client for this command')
    .option('--scope <scopes>', 'what to ask of it, with spaces between')
    .option('--refresh', 'keep a refresh token too, so that the sign-in outlasts its identity token')
    .option('--port <port>', 'loopback port, where the provider knows only one', parseCount(0), 0)
    .option('--no-browser', 'print the address, and open nothing')
    .option('--timeout <duration>', 'how long to wait for the sign-in', parseSeconds, 300)
    .option('--json', 'print JSON')
    .action(
      action(async (options: LoginOptions) => (await import('./commands/login.ts')).login(io, options)),
    );
  program
    .command('logout')
    .description('forget the sign-in')
    .option('--url <url>', 'address of the broker (or HALLPASS_URL)')
    .action(
      action(async (options: { url?: string }) => (await import('./commands/login.ts')).logout(io, options)),
    );
}

/** How a workload without an issuer, or with one that speaks another language, gets something to show. */
export function addIdentity(program: Command, io: Io, action: Action): void {
  const key = program.command('key').description('prove a workload that has no issuer by a key of its own');
  key
    .command('new')
    .description('make a key pair, and print the issuer for the configuration')
    .requiredOption('--out <file>', 'new file for the private key')
    .requiredOption('--subject <name>', 'name of the workload')
    .requiredOption('--owner <who>', 'who answers for the key')
    .requiredOption('--expires <day>', 'day from which it is refused, for instance 2030-01-31')
    .option('--audience <url>', 'broker.url (or HALLPASS_URL)')
    .action(
      action(async (options: NewKeyOptions) => (await import('./commands/key.ts')).newKey(io, options)),
    );
  key
    .command('sign')
    .description('print a short assertion for one request, for --token-command')
    .requiredOption('--key <file>', 'file of the private key')
    .option('--audience <url>', 'broker.url (or HALLPASS_URL)')
    .option('--subject <name>', 'name of the workload, if not that of the key')
    .option('--lifetime <duration>', 'up to 5m', parseSeconds, 60)
    .action(
      action(async (options: SignOptions) => (await import('./commands/key.ts')).signAssertion(io, options)),
    );
  program
    .command('identity')
    .description('get something to show to a broker, for --token-command')
    .command('aws')
    .description(
      'print a request to STS that is signed with the AWS credentials of this machine, for one use',
    )
    .option('--audience <name>', 'as the issuer has it (or HALLPASS_URL)')
    .option('--region <region>', 'region whose STS is asked (or AWS_REGION)')
    .option('--endpoint <url>', 'another address of STS, as the issuer has it')
    .action(
      action(async (options: AwsIdentityOptions) =>
        (await import('./commands/identity-aws.ts')).awsIdentity(io, options),
      ),
    );
}
