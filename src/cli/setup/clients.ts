import { homedir } from 'node:os';
import { join } from 'node:path';
import { isMap, isSeq, parseDocument } from 'yaml';
import { quoteShell } from '../exec/template.ts';
import { UsageError } from '../failure.ts';
import type { SourceOptions } from '../helpers/source.ts';
import { type Change, readPlain } from './change.ts';

/** What `setup` takes beside what opens a task. */
export interface SetupOptions extends SourceOptions {
  /** How the client starts us. */
  readonly command: string;
  readonly name?: string;
  /** The configuration to change, in place of the client's usual one. */
  readonly file?: string;
  readonly profile?: string;
  readonly host?: string;
  readonly registry?: string;
  readonly user?: string;
  readonly audience?: string;
  readonly service?: string;
}

type Env = Readonly<Record<string, string | undefined>>;

/** What a client's configuration becomes, and what the person must still do. */
export interface Proposal {
  readonly changes: readonly Change[];
  readonly notes: readonly string[];
}

/** The clients, each with how its configuration is changed. Nothing is written here. */
export const CLIENTS = { aws, gcp, kubectl, git, docker } satisfies Record<
  string,
  (env: Env, options: SetupOptions) => Proposal
>;

function aws(env: Env, options: SetupOptions): Proposal {
  const profile = named(options.profile ?? 'hallpass', 'profile');
  const path = options.file ?? env.AWS_CONFIG_FILE ?? join(home(env), '.aws', 'config');
  const section = profile === 'default' ? '[default]' : `[profile ${profile}]`;
  const lines = `${section}\ncredential_process = ${plainCommand(options, 'aws')}`;
  return {
    changes: [withBlock(path, `aws ${profile}`, lines, section, 0o600)],
    notes: [`Use it with AWS_PROFILE=${profile}. Static keys win over it: see hallpass doctor`],
  };
}

/** A subject token for Google's own exchange. */
function gcp(env: Env, options: SetupOptions): Proposal {
  if (!options.audience)
    throw new UsageError(
      'Cannot set up gcp: give --audience, the workload identity provider as //iam.googleapis.com/projects/...',
    );
  const path =
    options.file ?? join(env.XDG_CONFIG_HOME || join(home(env), '.config'), 'hallpass', 'google.json');
  const content = {
    type: 'external_account',
    audience: options.audience,
    subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
    token_url: 'https://sts.googleapis.com/v1/token',
    credential_source: { executable: { command: plainCommand(options, 'google'), timeout_millis: 30_000 } },
  };
  return {
    changes: [change(path, `${JSON.stringify(content, null, 2)}\n`, 0o600)],
    notes: [
      `Use it with GOOGLE_APPLICATION_CREDENTIALS=${path} and GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1`,
    ],
  };
}

/** libpq asks no helper: the section names the login of now, and its password file. */
export function pg(env: Env, options: SetupOptions, service: string, section: string): Proposal {
  const path = options.file ?? env.PGSERVICEFILE ?? join(home(env), '.pg_service.conf');
  return {
    changes: [withBlock(path, `pg ${service}`, section, `[${service}]`, 0o600)],
    notes: [`Use it as service=${service}. It is good for one lease: run this again for the next`],
  };
}

function kubectl(env: Env, options: SetupOptions): Proposal {
  const user = options.user ?? 'hallpass';
  const path = options.file ?? env.KUBECONFIG?.split(':')[0] ?? join(home(env), '.kube', 'config');
  const document = parseDocument(readPlain(path) || 'apiVersion: v1\nkind: Config\n');
  if (document.errors.length > 0 || !isMap(document.contents))
    throw new UsageError(`Cannot change ${JSON.stringify(path)}: it is no kubeconfig`);
  const [command = '', ...start] = words(options.command);
  const exec = {
    apiVersion: 'client.authentication.k8s.io/v1',
    command,
    args: [...start, 'credential', 'kubectl', ...argumentsOf(options)],
    interactiveMode: 'Never',
  };
  if (!isSeq(document.get('users'))) document.set('users', document.createNode([]));
  const users = document.get('users');
  const at = isSeq(users) ? users.items.findIndex((item) => isMap(item) && item.get('name') === user) : -1;
  const entry = document.createNode({ name: user, user: { exec } });
  if (at < 0) document.addIn(['users'], entry);
  else document.setIn(['users', at], entry);
  return {
    changes: [change(path, document.toString({ lineWidth: 0 }), 0o600)],
    notes: [`Use it in a context: kubectl config set-context --current --user=${user}`],
  };
}

function git(env: Env, options: SetupOptions): Proposal {
  const host = named(options.host, 'host');
  const path = options.file ?? join(home(env), '.gitconfig');
  const line = shellCommand(options, 'git', ['--host', host]);
  // Git's own quotes around the shell's (git-config(1), "Syntax"). The empty helper forgets those configured before.
  const value = `!${line}`.replace(/["\\]/g, '\\$&');
  const lines = `[credential "https://${host}"]\n\thelper =\n\thelper = "${value}"`;
  return { changes: [withBlock(path, `git ${host}`, lines, null, 0o644)], notes: [] };
}

function docker(env: Env, options: SetupOptions): Proposal {
  const registry = named(options.registry, 'registry');
  const path = options.file ?? join(env.DOCKER_CONFIG ?? join(home(env), '.docker'), 'config.json');
  const helper = `hallpass-${registry.replace(/[^\w.-]/g, '-')}`;
  const script = join(home(env), '.local', 'bin', `docker-credential-${helper}`);
  const text = readPlain(path);
  let config: Record<string, unknown>;
  try {
    config = JSON.parse(text || '{}') as Record<string, unknown>;
  } catch {
    throw new UsageError(`Cannot change ${JSON.stringify(path)}: it is no JSON`);
  }
  const helpers = { ...(config.credHelpers as object | undefined), [registry]: helper };
  const indent = /^[\t ]+/m.exec(text ?? '')?.[0] ?? '\t';
  const after = `${JSON.stringify({ ...config, credHelpers: helpers }, null, indent)}\n`;
  const run = `#!/bin/sh\nexec ${shellCommand(options, 'docker', ['--registry', registry])} "$@"\n`;
  return {
    changes: [change(path, after, 0o600), change(script, run, 0o755)],
    notes: [`Docker finds the helper when ${join(home(env), '.local', 'bin')} is in PATH`],
  };
}

function home(env: Env): string {
  return env.HOME ?? homedir();
}

function change(path: string, after: string, mode: number): Change {
  return { path, before: readPlain(path), after, mode };
}

/** The file with a block of ours between two marks: replaced where it is, else added at the end. */
function withBlock(path: string, mark: string, lines: string, section: string | null, mode: number): Change {
  const before = readPlain(path);
  const [begin, end] = [`# hallpass begin ${mark}`, `# hallpass end ${mark}`];
  const block = `${begin}\n${lines}\n${end}\n`;
  const text = before ?? '';
  const from = text.indexOf(`${begin}\n`);
  const to = text.indexOf(`${end}\n`, from);
  if (from >= 0 && to < 0)
    throw new UsageError(
      `Cannot change ${JSON.stringify(path)}: our block "${mark}" has lost its end; remove it by hand`,
    );
  const rest = from < 0 ? text : text.slice(0, from) + text.slice(to + end.length + 1);
  if (section !== null && rest.split('\n').some((line) => line.trim() === section))
    throw new UsageError(
      `Cannot change ${JSON.stringify(path)}: ${section} is there already; name another or remove it`,
    );
  if (from >= 0)
    return { path, before, after: text.slice(0, from) + block + text.slice(to + end.length + 1), mode };
  const gap = text === '' || text.endsWith('\n') ? '' : '\n';
  return { path, before, after: `${text}${gap}${block}`, mode };
}

/** The options that bring the helper to the same task. */
function argumentsOf(options: SetupOptions): string[] {
  const {
    url,
    tokenFile,
    tokenCommand,
    grant,
    task,
    purpose,
    ticket,
    credential = [],
    param = {},
    ttl,
    name,
  } = options;
  const pairs: [string, string | undefined][] = [
    ['--url', url],
    ['--token-file', tokenFile],
    ['--token-command', tokenCommand],
    ['--grant', grant],
    ['--task', task],
    ['--purpose', purpose],
    ['--ticket', ticket],
    ['--ttl', ttl === undefined ? undefined : String(ttl)],
    ['--name', name],
    ...credential.map((one): [string, string] => ['--credential', one]),
    ...Object.entries(param).map(([key, value]): [string, string] => [
      '--param',
      typeof value === 'string' ? `${key}=${value}` : `${key}:=${JSON.stringify(value)}`,
    ]),
  ];
  return pairs.flatMap(([option, value]) => (value === undefined ? [] : [option, value]));
}

function shellCommand(options: SetupOptions, helper: string, more: readonly string[]): string {
  const given = [...more, ...argumentsOf(options)].map(quoteShell);
  return [...words(options.command), 'credential', helper, ...given].join(' ');
}

/** For readers that split at spaces and know no quotes in common. */
function plainCommand(options: SetupOptions, helper: string): string {
  const all = [...words(options.command), 'credential', helper, ...argumentsOf(options)];
  const odd = all.find((word) => !/^[\w@%+=:,./-]+$/.test(word));
  if (odd !== undefined)
    throw new UsageError(
      `Cannot write ${JSON.stringify(odd)} into this configuration: it takes no spaces and no quotes`,
    );
  return all.join(' ');
}

function words(command: string): string[] {
  return command.split(' ').filter(Boolean);
}

function named(value: string | undefined, option: string): string {
  if (value === undefined) throw new UsageError(`Cannot set this up: give --${option}`);
  if (!/^[\w.:/-]+$/.test(value))
    throw new UsageError(`Cannot use --${option} ${JSON.stringify(value)}: write a plain name`);
  return value;
}
