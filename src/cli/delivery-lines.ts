import { Argument, type Command, Option } from 'commander';
import type { Action } from './command-lines.ts';
import type { AgentOptions } from './commands/agent.ts';
import type { CredentialOptions } from './commands/credential.ts';
import type { DoctorOptions } from './commands/doctor.ts';
import type { ClientName } from './commands/setup.ts';
import type { Io } from './io.ts';
import { askOptions, connectionOptions, deliveryOptions } from './options.ts';
import type { SetupOptions } from './setup/clients.ts';
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
  program
    .command('doctor')
    .description('find what would win over a lease here, and long-lived secrets: by place, never by value')
    .option('--json', 'print JSON')
    .option('--ci', 'end with 1 where no live exception covers a finding')
    .option('--exceptions <file>', 'the exceptions (default: hallpass-exceptions.yaml, where there is one)')
    .action(
      action(async (options: DoctorOptions) => (await import('./commands/doctor.ts')).doctor(io, options)),
    );
  addSetup(program, io, action);
  addHelpers(
    program.command('credential').description('answer a client as its credential helper'),
    io,
    action,
  );
}

function addSetup(program: Command, io: Io, action: Action): void {
  const client = new Argument('<client>').choices(['aws', 'gcp', 'pg', 'kubectl', 'git', 'docker']);
  helper(program, 'setup')
    .description("show how a client's configuration would change to use a helper; with --yes, change it")
    .addArgument(client)
    .option('--yes', 'change it')
    .option('--undo', 'make it what it was before')
    .option('--command <command>', 'how the client starts us', 'hallpass')
    .option('--file <file>', "the configuration, in place of the client's usual one")
    .option('--profile <name>', 'aws: the profile (default: hallpass)')
    .option('--audience <audience>', 'gcp: the workload identity provider')
    .option('--service <name>', 'pg: the service (default: hallpass)')
    .option('--user <name>', 'kubectl: the user (default: hallpass)')
    .option('--host <host>', 'git: the host')
    .option('--registry <host>', 'docker: the registry')
    .action(
      action(async (options: SetupOptions, name: ClientName) =>
        (await import('./commands/setup.ts')).setup(io, options, name),
      ),
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
