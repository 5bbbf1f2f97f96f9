import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { type Finding, linesMatching, type Machine } from './finding.ts';
import { hasPassphrase } from './private-key.ts';

/** Each looks for one kind of thing. A file that is missing or unreadable has nothing to find. */
export const RULES: readonly ((machine: Machine) => readonly Finding[])[] = [
  environment,
  awsFiles,
  google,
  postgres,
  git,
  netrc,
  kubernetes,
  docker,
  vault,
  npm,
  ssh,
];

const USE = 'run the program under hallpass exec or the agent';

/** Variables that hold a secret, and win over what is delivered in files or by an endpoint. */
const VARIABLES: readonly (readonly [RegExp, rule: string, what: string])[] = [
  [
    /^AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY)$/,
    'aws-static-key',
    'AWS keys: they win over a profile and over the container endpoint',
  ],
  [/^PGPASSWORD$/, 'pg-password', 'a PostgreSQL password: it wins over the password file'],
  [/^MYSQL_PWD$/, 'mysql-password', 'a MySQL password'],
  [/^VAULT_TOKEN$/, 'vault-token', 'a Vault token'],
  [/^(GITHUB_TOKEN|GH_TOKEN|GITHUB_PAT|GITLAB_TOKEN)$/, 'forge-token', 'a token for a code forge'],
  [/^(NPM_TOKEN|NODE_AUTH_TOKEN)$/, 'npm-token', 'a registry token'],
  [/^(AZURE_CLIENT_SECRET|ARM_CLIENT_SECRET)$/, 'azure-client-secret', "an application's secret"],
];

function environment({ env }: Machine): Finding[] {
  const found = Object.entries(env).flatMap(([name, value]) =>
    VARIABLES.filter(([pattern]) => value && pattern.test(name)).map(([, rule, what]) =>
      finding(rule, `env:${name}`, what, `unset it and ${USE}`),
    ),
  );
  const urls = Object.entries(env).filter(
    ([, value]) => value && /^[a-z][a-z0-9+.-]*:\/\/[^/@\s]*:[^/@\s]+@/i.test(value),
  );
  return [
    ...found,
    ...urls.map(([name]) =>
      finding('url-password', `env:${name}`, 'a URL with a password', `unset it and ${USE}`),
    ),
  ];
}

function awsFiles({ env, home, read }: Machine): Finding[] {
  const files = [
    env.AWS_SHARED_CREDENTIALS_FILE ?? join(home, '.aws', 'credentials'),
    env.AWS_CONFIG_FILE ?? join(home, '.aws', 'config'),
  ];
  return files.flatMap((file) => {
    const text = read(file) ?? '';
    const keys = linesMatching(text, /^\s*aws_secret_access_key\s*=\s*\S/i).map((line) =>
      finding(
        'aws-static-key',
        `${file}:${line}`,
        'an AWS key: in its profile it wins over credential_process',
        'delete it and its key, then: hallpass setup aws',
      ),
    );
    return keys;
  });
}

function google({ env, home, read }: Machine): Finding[] {
  const config = env.CLOUDSDK_CONFIG ?? join(home, '.config', 'gcloud');
  const files = [env.GOOGLE_APPLICATION_CREDENTIALS, join(config, 'application_default_credentials.json')];
  return [...new Set(files)].flatMap((file) => {
    if (!file) return [];
    const type = jsonOf(read(file))?.type;
    if (type === 'service_account')
      return [
        finding(
          'google-key',
          file,
          "a service account's private key",
          'delete the key, then: hallpass setup gcp',
        ),
      ];
    if (type === 'authorized_user')
      return [
        finding(
          'google-user',
          file,
          "a person's refresh token",
          'gcloud auth application-default revoke, then: hallpass setup gcp',
        ),
      ];
    return [];
  });
}

function postgres({ env, home, read }: Machine): Finding[] {
  const file = env.PGPASSFILE ?? join(home, '.pgpass');
  return linesMatching(read(file) ?? '', /^(?!\s*#)([^:\\]|\\.)*(:([^:\\]|\\.)*){3}:./).map((line) =>
    finding('pg-password', `${file}:${line}`, 'a PostgreSQL password', `delete the line and ${USE}`),
  );
}

function git({ home, cwd, read }: Machine): Finding[] {
  const stores = [join(home, '.git-credentials'), join(home, '.config', 'git', 'credentials')];
  const configs = [
    join(home, '.gitconfig'),
    join(home, '.config', 'git', 'config'),
    join(cwd, '.git', 'config'),
  ];
  return [
    ...stores.flatMap((file) =>
      linesMatching(read(file) ?? '', /^\w+:\/\/[^/]*:[^/]+@/).map((line) =>
        finding(
          'git-token',
          `${file}:${line}`,
          'a password that git stores',
          'delete the line, then: hallpass setup git',
        ),
      ),
    ),
    ...configs.flatMap((file) => [
      ...linesMatching(read(file) ?? '', /\w+:\/\/[^/\s]*:[^/\s]+@/).map((line) =>
        finding(
          'git-token',
          `${file}:${line}`,
          'a token in the address of a remote',
          'git remote set-url without it, then: hallpass setup git',
        ),
      ),
      ...linesMatching(read(file) ?? '', /^\s*extraheader\s*=.*authorization/i).map((line) =>
        finding(
          'git-token',
          `${file}:${line}`,
          'an authorization header',
          'git config --unset it, then: hallpass setup git',
        ),
      ),
    ]),
  ];
}

function netrc({ env, home, read }: Machine): Finding[] {
  const file = env.NETRC ?? join(home, '.netrc');
  return linesMatching(read(file) ?? '', /(^|\s)password\s+\S/).map((line) =>
    finding(
      'netrc-password',
      `${file}:${line}`,
      'a password that curl, git and others read',
      `delete it and ${USE}`,
    ),
  );
}

function kubernetes({ env, home, read }: Machine): Finding[] {
  const files = env.KUBECONFIG ? env.KUBECONFIG.split(':').filter(Boolean) : [join(home, '.kube', 'config')];
  return files.flatMap((file) => {
    const text = read(file) ?? '';
    // The file may be anything: what cannot be read as YAML has no users that kubectl would read.
    const [document] = parseAllDocuments(text, { logLevel: 'silent' }) as { toJS(): unknown }[];
    const users = (document?.toJS() as { users?: unknown } | null | undefined)?.users;
    return (Array.isArray(users) ? users : []).flatMap(
      (entry: { name?: unknown; user?: Record<string, unknown> }) => {
        const held = ['token', 'password', 'client-key-data'].filter((name) => entry?.user?.[name]);
        const [line] = linesMatching(
          text,
          new RegExp(`^\\s*-?\\s*name:\\s*["']?${literally(String(entry?.name))}["']?\\s*$`),
        ).slice(-1);
        return held.map((name) =>
          finding(
            'kube-static-user',
            line ? `${file}:${line}` : file,
            `a ${name} that a user of kubectl keeps`,
            'replace the user, with: hallpass setup kubectl',
          ),
        );
      },
    );
  });
}

function docker({ env, home, read }: Machine): Finding[] {
  const file = join(env.DOCKER_CONFIG ?? join(home, '.docker'), 'config.json');
  const text = read(file);
  const auths = jsonOf(text)?.auths;
  if (typeof auths !== 'object' || auths === null) return [];
  return Object.entries(auths as Record<string, { auth?: unknown; identitytoken?: unknown } | null>)
    .filter(([, auth]) => auth?.auth || auth?.identitytoken)
    .map(([server]) => {
      const [line] = linesMatching(text ?? '', new RegExp(literally(JSON.stringify(server))));
      return finding(
        'docker-auth',
        line ? `${file}:${line}` : file,
        `a login that docker keeps`,
        'docker logout, then: hallpass setup docker',
      );
    });
}

function vault({ home, read }: Machine): Finding[] {
  const file = join(home, '.vault-token');
  return read(file)?.trim()
    ? [finding('vault-token', file, 'a Vault token', `vault token revoke -self, delete it and ${USE}`)]
    : [];
}

function npm({ env, home, cwd, read }: Machine): Finding[] {
  const files = new Set([env.NPM_CONFIG_USERCONFIG ?? join(home, '.npmrc'), join(cwd, '.npmrc')]);
  return [...files].flatMap((file) =>
    // `${NAME}` is a place for a token, not one.
    linesMatching(read(file) ?? '', /^\s*[^#;]*(_authToken|_auth|_password)\s*=\s*["']?(?!\$\{)[^\s"']/).map(
      (line) =>
        finding(
          'npm-token',
          `${file}:${line}`,
          'a registry token',
          'revoke it, and publish by the identity of the job',
        ),
    ),
  );
}

function ssh({ home, list, read }: Machine): Finding[] {
  const folder = join(home, '.ssh');
  return list(folder).flatMap((name) => {
    const file = join(folder, name);
    return hasPassphrase(read(file) ?? '') === false
      ? [
          finding(
            'ssh-key',
            file,
            'a private key without a passphrase',
            'ssh-keygen -p, or short-lived certificates',
          ),
        ]
      : [];
  });
}

function finding(rule: string, place: string, what: string, instead: string): Finding {
  return { rule, place, what, instead };
}

function jsonOf(text: string | null): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return typeof value === 'object' ? (value as Record<string, unknown> | null) : null;
  } catch {
    return null;
  }
}

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
