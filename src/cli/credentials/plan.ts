import { join } from 'node:path';
import type { Credential } from '../../client/task.ts';
import { UsageError } from '../failure.ts';
import { deliverAws } from './aws.ts';
import type { Deliver } from './delivery.ts';
import { deliverFile } from './file.ts';
import { deliverGoogle } from './google.ts';
import { deliverPostgres } from './postgres.ts';
import { deliverVault } from './vault.ts';

const DELIVER: Readonly<Record<string, Deliver>> = {
  aws: deliverAws,
  google: deliverGoogle,
  postgres: deliverPostgres,
  vault: deliverVault,
};

/** What the person asks for beside the usual variables. */
export interface PlanOptions {
  /** Credential name to what its variables begin with. */
  readonly prefixes: Readonly<Record<string, string>>;
  /** Variable to `credential.member`. */
  readonly extra: Readonly<Record<string, string>>;
}

/** The environment and the files of a command. */
export interface Plan {
  readonly env: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, string>>;
  /** Variables of our own environment that the command must not see. */
  readonly removed: readonly string[];
  /** What the person should know. */
  readonly notes: readonly string[];
}

/** Variables of ours that are nobody else's business. */
const OURS = ['HALLPASS_TOKEN', 'HALLPASS_TASK_TOKEN'];

/** Plans how the credentials reach a command. Throws UsageError when two would claim the same variables. */
export function planDelivery(
  credentials: readonly Credential[],
  options: PlanOptions,
  folder: string,
  parent: Readonly<Record<string, string | undefined>>,
): Plan {
  checkNames(credentials, options);
  checkRivals(credentials, options.prefixes);
  const env: Record<string, string> = {};
  const files: Record<string, string> = {};
  const overriding: string[] = [];
  const suspicious: string[] = [];
  credentials.forEach(({ name, secret }, at) => {
    const deliver = DELIVER[secret.type] ?? deliverFile;
    const delivery = deliver(secret, (ending) => join(folder, `${at}.${ending}`));
    const prefix = options.prefixes[name] ?? '';
    for (const [variable, value] of Object.entries(delivery.env)) env[`${prefix}${variable}`] = value;
    Object.assign(files, delivery.files);
    if (prefix === '') overriding.push(...delivery.overriding);
    suspicious.push(...delivery.suspicious);
  });
  for (const [variable, source] of Object.entries(options.extra))
    env[variable] = memberOf(credentials, variable, source);
  return {
    env,
    files,
    removed: [...overriding, ...OURS],
    notes: notesOn(parent, env, overriding, suspicious),
  };
}

function checkNames(credentials: readonly Credential[], { prefixes }: PlanOptions): void {
  const unknown = Object.keys(prefixes).find((name) => !credentials.some((one) => one.name === name));
  if (unknown !== undefined)
    throw new UsageError(`Cannot prefix "${unknown}": no credential of this task has that name`);
}

/** Two credentials of one type without a prefix would write the same variables. */
function checkRivals(credentials: readonly Credential[], prefixes: PlanOptions['prefixes']): void {
  const owner = new Map<string, string>();
  for (const { name, secret } of credentials) {
    const kind = DELIVER[secret.type] ? secret.type : 'file';
    const place = `${kind} ${prefixes[name] ?? ''}`;
    const rival = owner.get(place);
    if (rival !== undefined)
      throw new UsageError(
        `Cannot give the command both "${rival}" and "${name}", for the same variables: add --prefix ${name}=${name.toUpperCase().replace(/\W/g, '_')}_`,
      );
    owner.set(place, name);
  }
}

function memberOf(credentials: readonly Credential[], variable: string, source: string): string {
  const dot = source.lastIndexOf('.');
  const credential = credentials.find(({ name }) => name === source.slice(0, dot));
  const value = credential?.secret.values[source.slice(dot + 1)];
  if (value !== undefined) return value;
  const known = credentials.flatMap(({ name, secret }) =>
    Object.keys(secret.values).map((key) => `${name}.${key}`),
  );
  throw new UsageError(`Cannot set ${variable} from "${source}": write one of ${known.join(', ')}`);
}

function notesOn(
  parent: Readonly<Record<string, string | undefined>>,
  env: Readonly<Record<string, string>>,
  overriding: readonly string[],
  suspicious: readonly string[],
): string[] {
  const replaced = Object.keys(env).filter(
    (name) => parent[name] !== undefined && parent[name] !== env[name],
  );
  const hidden = overriding.filter((name) => parent[name] !== undefined);
  const rest = suspicious.filter((name) => parent[name] !== undefined && env[name] === undefined);
  return [
    ...(replaced.length > 0 ? [`${replaced.join(', ')} of the environment: replaced for the command`] : []),
    ...(hidden.length > 0
      ? [
          `${hidden.join(', ')} of the environment: hidden from the command, for it would win over the credential`,
        ]
      : []),
    ...rest.map((name) => `${name} is set: a program that reads it does not use the credential`),
  ];
}
