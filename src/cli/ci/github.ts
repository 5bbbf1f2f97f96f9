import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import type { Secret } from '../../http/contract.ts';
import type { Json } from '../../json.ts';

/** What GitHub's runner gives to an action and takes from it ("Workflow commands for GitHub Actions"). */

type Env = Readonly<Record<string, string | undefined>>;

/** What the step in the workflow says. */
export interface Inputs {
  readonly url: string;
  readonly audience: string;
  readonly grant: string;
  readonly task: string;
  readonly purpose: string | undefined;
  readonly ticket: string | undefined;
  readonly parameters: Readonly<Record<string, Json>>;
  readonly credentials: readonly string[];
  readonly ttlSeconds: number | undefined;
  readonly prefixes: Readonly<Record<string, string>>;
  readonly extra: Readonly<Record<string, string>>;
}

/** Reads the inputs, each as a variable `INPUT_...`. Throws with all that is wrong, each by its name. */
export function readInputs(env: Env): Inputs {
  const faults: string[] = [];
  const read = (name: string) => env[`INPUT_${name.toUpperCase()}`]?.trim() || undefined;
  const need = (name: string) => {
    const value = read(name);
    if (value === undefined) faults.push(`${name}: write it`);
    return value ?? '';
  };
  const pairs = (name: string) => {
    const lines = (read(name) ?? '').split('\n').map((line) => line.trim());
    return Object.fromEntries(
      lines.filter(Boolean).map((line) => {
        const [, key, value] = /^([^=]+?)\s*=\s*(.*)$/.exec(line) ?? [];
        if (key === undefined || value === undefined) faults.push(`${name}: write name=value in each line`);
        return [key ?? '', value ?? ''];
      }),
    );
  };
  const ttl = read('ttl-seconds');
  if (ttl !== undefined && !/^[1-9]\d{0,7}$/.test(ttl)) faults.push('ttl-seconds: write whole seconds');
  const inputs: Inputs = {
    url: need('url'),
    audience: read('audience') ?? need('url'),
    grant: need('grant'),
    task: need('task'),
    purpose: read('purpose'),
    ticket: read('ticket'),
    parameters: pairs('parameters'),
    credentials: (read('credentials') ?? '').split(/[\s,]+/).filter(Boolean),
    ttlSeconds: ttl === undefined ? undefined : Number(ttl),
    prefixes: pairs('prefixes'),
    extra: pairs('env'),
  };
  if (faults.length > 0) throw new Error(`The step's inputs have faults: ${[...new Set(faults)].join('; ')}`);
  return inputs;
}

/** Asks the runner for the job's identity token for this audience. */
export async function jobToken(env: Env, fetch: typeof globalThis.fetch, audience: string): Promise<string> {
  const { ACTIONS_ID_TOKEN_REQUEST_URL: url, ACTIONS_ID_TOKEN_REQUEST_TOKEN: proof } = env;
  if (!url || !proof)
    throw new Error(
      'The job may not prove who it is: write "permissions: { id-token: write }" in the workflow',
    );
  const at = new URL(url);
  at.searchParams.set('audience', audience);
  const answer = await fetch(at, {
    headers: { authorization: `Bearer ${proof}`, accept: 'application/json' },
    redirect: 'error',
    signal: AbortSignal.timeout(TOKEN_TIMEOUT_MS),
  });
  const { value } = answer.ok ? ((await answer.json()) as { value?: unknown }) : {};
  if (typeof value !== 'string')
    throw new Error(`The runner gave no identity token: status ${answer.status}`);
  return value;
}

const TOKEN_TIMEOUT_MS = 20_000;

/** Members that logs may show: hiding a port's digits would hide them in every line. All others are secret. */
const PUBLIC = new Set([
  'host',
  'port',
  'database',
  'username',
  'sslmode',
  'ca',
  'region',
  'expiration',
  'expires_at',
  'service_account',
  'server',
]);

/** What the runner must never print of a secret: each line, for it compares lines. */
export function masksOf({ values }: Secret): string[] {
  return Object.entries(values)
    .filter(([name]) => !PUBLIC.has(name))
    .flatMap(([, value]) => [value, ...value.split(/\r?\n/)])
    .filter((text) => text.trim() !== '');
}

/** A command on standard output; its message is escaped as the runner reads it. */
export function command(name: string, message: string): string {
  const escaped = message.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
  return `::${name}::${escaped}\n`;
}

/** Adds a value to one of the runner's files, between lines that nobody can guess. */
export function addTo(file: string | undefined, name: string, value: string): void {
  if (!file) throw new Error('The runner names no file for what the step gives to later ones');
  const end = `end-${randomUUID()}`;
  appendFileSync(file, `${name}<<${end}\n${value}\n${end}\n`);
}
