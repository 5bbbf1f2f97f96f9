import { type Fault, type Path, quote, suggest } from '../grants/fault.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Every environment variable that Hallpass reads. Those with a `path` replace what the file says there; the others
 * are read by whoever `reader` names, and stand here so that they are known.
 */
export const ENVIRONMENT: Readonly<
  Record<string, { readonly meaning: string; readonly path?: Path; readonly reader?: 'client' | 'loader' }>
> = {
  HALLPASS_CONFIG: { meaning: 'Path of the configuration; `hallpass.yaml` when not set', reader: 'loader' },
  DATABASE_URL: { meaning: 'Replaces `database.url`', path: ['database', 'url'] },
  HALLPASS_URL: {
    meaning: 'Replaces `broker.url`; for clients, the broker to call',
    path: ['broker', 'url'],
  },
  HALLPASS_LISTEN: { meaning: 'Replaces `broker.listen`', path: ['broker', 'listen'] },
  HALLPASS_NAME: { meaning: 'Replaces `broker.name`', path: ['broker', 'name'] },
  HALLPASS_STATE_DIRECTORY: {
    meaning: 'Replaces `broker.state_directory`',
    path: ['broker', 'state_directory'],
  },
  HALLPASS_LOG_LEVEL: { meaning: 'Replaces `log.level`', path: ['log', 'level'] },
  HALLPASS_TOKEN: { meaning: 'Identity token of a client', reader: 'client' },
  HALLPASS_TOKEN_FILE: { meaning: 'File with the identity token of a client', reader: 'client' },
  HALLPASS_TASK: {
    meaning: 'Id of a task, set by `exec` and `get`; what `complete` ends',
    reader: 'client',
  },
  HALLPASS_TASK_TOKEN: { meaning: 'Token of that task, set by `get`; for `complete`', reader: 'client' },
  HALLPASS_AGENT_SOCK: {
    meaning: "Socket of the agent, set by the agent's `env`; for `credential`",
    reader: 'client',
  },
  HALLPASS_CREDENTIAL_FILE: {
    meaning: 'Set for a command: file with a credential that has no better place, as JSON',
    reader: 'client',
  },
  HALLPASS_GOOGLE_ID_TOKEN_FILE: {
    meaning: 'Set for a command: file with an identity token of Google',
    reader: 'client',
  },
  HALLPASS_VAULT_FILE: {
    meaning: 'Set for a command: file with what was read in Vault, as JSON',
    reader: 'client',
  },
  HALLPASS_CA_FILE: { meaning: 'Certificates that a client trusts for the broker', reader: 'client' },
};

/**
 * What Kubernetes sets in every pod for a service called `hallpass`. They are not ours.
 * https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
 */
const SERVICE_LINK =
  /^HALLPASS(?:_[A-Z0-9_]+)?_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$/;

/** Variables that look like ours and are not: a typing error there would otherwise change nothing, silently. */
export function environmentFaults(env: Environment): Fault[] {
  return Object.keys(env)
    .filter(
      (name) => name.startsWith('HALLPASS_') && !Object.hasOwn(ENVIRONMENT, name) && !SERVICE_LINK.test(name),
    )
    .map((name) => ({
      path: [name],
      message: `Unknown variable ${quote(name)}: ${suggest(name, Object.keys(ENVIRONMENT))}`,
    }));
}

/** The path of the configuration: the flag's, the environment's, or the default. */
export function configPath(env: Environment, flag: string | undefined): string {
  return flag ?? (env.HALLPASS_CONFIG || 'hallpass.yaml');
}

/** What the environment replaces in the file. Empty variables count as not set, as shells leave them. */
export function overrides(
  env: Environment,
): readonly { readonly variable: string; readonly path: Path; readonly value: string }[] {
  return Object.entries(ENVIRONMENT).flatMap(([variable, { path }]) => {
    const value = env[variable];
    return path === undefined || value === undefined || value === '' ? [] : [{ variable, path, value }];
  });
}
