import { type Command, Option } from 'commander';
import type { Action } from './command-lines.ts';
import type { AgentOptions } from './commands/agent.ts';
import type { CredentialOptions } from './commands/credential.ts';
import type { Io } from './io.ts';
import { askOptions, connectionOptions, deliveryOptions } from './options.ts';
import { parseCount } from './values.ts';

/** What hands credentials to programs that know nothing of Hallpass. */
export function addDelivering(program: Command, io: Io, action: Action): void {
  deliveryOptions(askOptions(connectionOptions(program.command('agent'))))
    .description('hold the credentials of a task for other programs, until it is stopped')
    .option('--dir <folder>', 'where its socket and files are')
    .option('--port <port>', 'port of its endpoint on loopback; any when left out', parseCount(1))
    .option('--gce', "serve Google's metadata protocol too, to programs of this user")
    .action(
      action(async (options: AgentOptions) => (await import('./commands/agent.ts')).agent(io, options)),
    );
  addHelpers(
    program.command('credential').description('answer a client as its credential helper'),
    io,
    action,
  );
}

function addHelpers(group: Command, io: Io, action: Action): void {
  const load = () => import('./commands/credential.ts');
  helper(group, 'aws')
    .description("AWS: the answer of a profile's credential_process")
    .action(action(async (options: CredentialOptions) => (await load()).awsCredential(io, options)));
  helper(group, 'google')
    .description('Google: the answer of an executable source')
    .action(action(async (options: CredentialOptions) => (await load()).googleCredential(io, options)));
  helper(group, 'kubectl')
    .description('kubectl: an ExecCredential')
    .action(action(async (options: CredentialOptions) => (await load()).kubectlCredential(io, options)));
  helper(group, 'git')
    .description('git: a credential helper')
    .requiredOption('--host <host>', 'the one host that gets it')
    .argument('<operation>')
    .action(
      action(async (options: CredentialOptions & { host: string }, operation: string) =>
        (await load()).gitCredential(io, options, operation),
      ),
    );
  helper(group, 'docker')
    .description('docker: a credential helper')
    .requiredOption('--registry <host>', 'the one registry that gets it')
    .argument('<operation>')
    .action(
      action(async (options: CredentialOptions & { registry: string }, operation: string) =>
        (await load()).dockerCredential(io, options, operation),
      ),
    );
  helper(group, 'pg')
    .description('PostgreSQL: writes a service and a password file, and prints the lines for a shell')
    .requiredOption('--service <name>', 'the name of the service')
    .action(
      action(async (options: CredentialOptions & { service: string }) =>
        (await load()).pgCredential(io, options),
      ),
    );
}

/** A helper asks an agent; what opens a task is needed only where none runs. */
function helper(group: Command, name: string): Command {
  const command = askOptions(connectionOptions(group.command(name)));
  for (const option of command.options) if (option.mandatory) option.makeOptionMandatory(false);
  return command.addOption(new Option('--name <credential>', 'which credential, where several fit'));
}
