import { z } from 'zod';
import { mayHaveTakenEffect, ProviderError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import { withDeadline } from '../../runtime.ts';
import type { Minted, Terms } from '../provider.ts';
import type { Connection, VaultRequest } from './connection.ts';
import { saysUnknown } from './errors.ts';
import { placeOf, type VaultHandle } from './handle.ts';
import { MAX_META_TEXT, TOKEN_MARGIN_MS } from './limits.ts';
import type { VaultScope, VaultSettings } from './settings.ts';

export interface VaultContext {
  readonly runtime: Runtime;
  readonly settings: VaultSettings;
  readonly connection: Connection;
}

const tokenSchema = z.object({
  auth: z.object({
    client_token: z.string().min(1),
    accessor: z.string().min(1),
    token_policies: z.array(z.string()),
    lease_duration: z.number(),
    token_type: z.string().optional(),
    orphan: z.boolean(),
  }),
});

const secretSchema = z.object({
  lease_id: z.string().default(''),
  lease_duration: z.number().default(0),
  data: z.record(z.string(), z.unknown()),
});

const wrappedSchema = z.object({ wrap_info: z.object({ token: z.string().min(1), ttl: z.number() }) });
export const anything = z.unknown();

type SecretRead = z.infer<typeof secretSchema>;
type Token = z.infer<typeof tokenSchema>['auth'];

/** What came into being with the token. */
interface Made {
  readonly leases: string[];
  /** Whether something was issued that Vault holds no lease for: a certificate. */
  unleased: boolean;
}

/**
 * Makes a token for the lease, and reads with it what the scope names. When anything goes wrong after the token was
 * made, the token is revoked at once, and whatever was read goes with it.
 */
export async function mint(
  context: VaultContext,
  scope: VaultScope,
  terms: Terms,
  signal: AbortSignal,
): Promise<Minted> {
  const { runtime, settings, connection } = context;
  const sentAt = runtime.now();
  const ttlSeconds = Math.floor((terms.expiresAt - sentAt - TOKEN_MARGIN_MS) / 1000);
  if (sentAt >= terms.mintBefore || ttlSeconds < 1)
    throw new ProviderError('target-refused', 'Cannot make a token: its time is over');
  const { auth } = await connection.asBroker(
    'make a token',
    tokenSchema,
    { path: `auth/token/create/${settings.token_role}`, data: tokenOf(scope, terms, ttlSeconds) },
    signal,
  );
  const made: Made = { leases: [], unleased: false };
  try {
    checkToken(auth, scope, ttlSeconds);
    return await fill(context, scope, terms, auth, sentAt + auth.lease_duration * 1000, made, signal);
  } catch (error) {
    throw await undo(context, auth.accessor, made.leases.length > 0 || made.unleased, error);
  }
}

function tokenOf(scope: VaultScope, { name, context }: Terms, ttlSeconds: number) {
  const ttl = `${ttlSeconds}s`;
  const { issuer, subject, grant, task, taskId, purpose } = context;
  const meta = { hallpass: name, issuer, subject, grant, task, task_id: taskId, purpose: purpose ?? '' };
  return {
    policies: scope.policies,
    no_default_policy: true,
    ttl,
    explicit_max_ttl: ttl,
    renewable: false,
    type: 'service',
    display_name: name,
    meta: Object.fromEntries(Object.entries(meta).map(([key, text]) => [key, plain(text)])),
  };
}

/** Metadata is shown in logs and terminals: nothing that steers them, nothing that is no Unicode, nothing long. */
function plain(text: string): string {
  return text.replaceAll(/[\p{C}\ud800-\udfff]/gu, ' ').slice(0, MAX_META_TEXT);
}

/** The role decides in the end: a token that can do more, lives longer or dies with ours is not what was asked for. */
function checkToken(token: Token, { policies }: VaultScope, ttlSeconds: number): void {
  const extra = token.token_policies.filter((policy) => !policies.includes(policy));
  const role = 'change the token role';
  const fault =
    extra.length > 0
      ? `it has the policies ${extra.join(', ')} too: ${role} (token_no_default_policy)`
      : token.lease_duration > ttlSeconds || token.lease_duration === 0
        ? `it lives longer than was asked: ${role} (no token_period)`
        : token.token_type === 'batch'
          ? `it is a batch token, which cannot be revoked: ${role} (token_type=service)`
          : !token.orphan
            ? `it ends with the broker's own: ${role} (orphan=true)`
            : null;
  if (fault !== null)
    throw new ProviderError('target-refused', `Cannot use the token that Vault made: ${fault}`);
}

async function fill(
  context: VaultContext,
  scope: VaultScope,
  terms: Terms,
  token: Token,
  tokenEndsAt: number,
  made: Made,
  signal: AbortSignal,
): Promise<Minted> {
  const { runtime } = context;
  let expiresAt = tokenEndsAt;
  const values: Record<string, string> = {};
  for (const [name, asked] of Object.entries(scope.secrets)) {
    const askedAt = runtime.now();
    const left = Math.floor((tokenEndsAt - askedAt) / 1000);
    const read = await readSecret(context, token.client_token, name, asked, left, signal);
    if (read.lease_id !== '') {
      made.leases.push(read.lease_id);
      expiresAt = Math.min(expiresAt, askedAt + read.lease_duration * 1000);
    } else if (asked.data !== undefined || asked.ends === 'lapses') made.unleased = true;
    checkSecret(name, asked, read, terms);
    for (const [member, value] of Object.entries(read.data)) values[`${name}_${member}`] = text(value);
  }
  if (scope.token ?? Object.keys(scope.secrets).length === 0) values.token = token.client_token;
  const namesOf = (ends: string) =>
    Object.entries(scope.secrets).flatMap(([name, secret]) => (secret.ends === ends ? [name] : []));
  const lapsing = namesOf('lapses');
  const handle = {
    accessor: token.accessor,
    leases: made.leases,
    lapsing,
    lapsesAt: lapsing.length === 0 ? null : terms.expiresAt,
    static: namesOf('static'),
    madeAt: placeOf(context.settings),
  } satisfies VaultHandle;
  const { address, namespace } = context.settings;
  const place = { address, ...(namespace === undefined ? {} : { namespace }) };
  const wrapped =
    scope.wrap_ttl_seconds === undefined
      ? values
      : await wrap(context, values, scope.wrap_ttl_seconds, signal);
  return { secret: { type: 'vault', values: { ...place, ...wrapped } }, handle, expiresAt };
}

function readSecret(
  { connection }: VaultContext,
  token: string,
  name: string,
  { path, data, ends }: VaultScope['secrets'][string],
  ttlSeconds: number,
  signal: AbortSignal,
): Promise<SecretRead> {
  const written = data !== undefined && ends === 'lapses' ? { ...data, ttl: `${ttlSeconds}s` } : data;
  const request: VaultRequest = { path, ...(written === undefined ? {} : { data: written }) };
  return connection.withToken(token, `read "${name}"`, secretSchema, request, signal);
}

/** What ends otherwise than the grant says would make the lease's end untrue. */
function checkSecret(
  name: string,
  { path, ends }: VaultScope['secrets'][string],
  { lease_id: lease, data: { expiration } }: SecretRead,
  { expiresAt }: Terms,
): void {
  if (ends === 'with-token' && lease === '')
    throw new ProviderError(
      'target-refused',
      `Cannot use "${name}": Vault holds no lease for "${path}", so nobody could withdraw it; write ends: lapses for a certificate, ends: static for a secret that stays`,
    );
  if (ends === 'lapses' && typeof expiration === 'number' && expiration * 1000 > expiresAt)
    throw new ProviderError(
      'target-refused',
      `Cannot use "${name}": what "${path}" issued outlives the lease`,
    );
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Puts the values where one can take them once. The wrapping token tells, by failing, that somebody else was first. */
async function wrap(
  { connection }: VaultContext,
  values: Readonly<Record<string, string>>,
  ttlSeconds: number,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const { wrap_info: info } = await connection.asBroker(
    'wrap what was made',
    wrappedSchema,
    { path: 'sys/wrapping/wrap', data: values, headers: { 'x-vault-wrap-ttl': `${ttlSeconds}s` } },
    signal,
  );
  return { wrapping_token: info.token };
}

/** How long a token that came to nothing may take to be revoked. Failing that, it lapses by itself. */
const UNDO_MS = 3_000;

/**
 * Revokes the token, and says truthfully whether something may be left of it: what was read with it is revoked in the
 * background, and nobody looks whether that succeeds; a certificate lapses.
 */
async function undo(
  { connection, runtime }: VaultContext,
  accessor: string,
  hasMade: boolean,
  error: unknown,
): Promise<unknown> {
  const said = error instanceof Error ? error.message : 'it failed';
  const request = { path: 'auth/token/revoke-accessor', data: { accessor } };
  const doing = 'revoke a token that came to nothing';
  try {
    await withDeadline(runtime, UNDO_MS, (signal) => connection.asBroker(doing, anything, request, signal));
  } catch (failed) {
    if (!saysUnknown(failed, 'accessor'))
      return new ProviderError('target-failed', `${said}; and its token could not be revoked`, {
        cause: error,
      });
  }
  if (!hasMade || mayHaveTakenEffect(error)) return error;
  return new ProviderError('target-failed', `${said}; its token is revoked`, { cause: error });
}
