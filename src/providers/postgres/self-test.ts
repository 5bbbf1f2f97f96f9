import pg from 'pg';
import { ProviderError } from '../../errors.ts';
import type { Minted, SelfTest } from '../provider.ts';
import { type Report, trialTerms } from '../self-test.ts';
import { connectionConfig } from './connections.ts';
import { callOf, type EndContext, end } from './end.ts';
import { providerError, vendorCode } from './errors.ts';
import { CLOCK_SKEW_WARNING_MS, SELF_TEST_SECONDS } from './limits.ts';
import { mint } from './mint.ts';
import { type Rights, readRights } from './rights.ts';
import { identifier, nameFault } from './sql.ts';

interface SelfTestContext extends EndContext {
  readonly mark: string;
}

/** Looks whether the broker's role has every right that it will need, then makes, uses and ends a real login. */
export async function selfTest(
  context: SelfTestContext,
  scopes: readonly unknown[],
  signal: AbortSignal,
): Promise<SelfTest> {
  const report: Report = { steps: [], remedies: [] };
  const rights = await attempt(report, 'connect', () => readRights(context, rolesIn(scopes), signal));
  if (rights) {
    judgeRights(report, context, rights);
    await tryLogin(report, context, signal);
  }
  return { ok: report.steps.every((step) => step.ok), ...report };
}

function judgeRights(
  { steps, remedies }: Report,
  { runtime, settings }: SelfTestContext,
  rights: Rights,
): void {
  const admin = identifier(settings.username);
  const superuser = rights.superuser ? 'the broker is a superuser: a role with CREATEROLE is enough' : null;
  steps.push({ name: 'CREATEROLE', ok: rights.createRole, ...(superuser ? { detail: superuser } : {}) });
  if (!rights.createRole) remedies.push(`ALTER ROLE ${admin} CREATEROLE;`);
  if (!rights.inherits) {
    steps.push({
      name: 'INHERIT',
      ok: false,
      detail: 'without it the broker cannot cut the sessions of its logins',
    });
    remedies.push(`ALTER ROLE ${admin} INHERIT;`);
  }
  const skewMs = rights.clock - runtime.now();
  const inTime = Math.abs(skewMs) <= CLOCK_SKEW_WARNING_MS;
  steps.push({ name: 'clock', ok: inTime, detail: `${Math.round(skewMs)} ms ahead of the broker's` });
  if (!inTime) remedies.push('Synchronise the clocks of the target and the broker (NTP)');
  for (const { name, exists, grantable, superuser: tooMuch } of rights.roles) {
    const step = `grant ${identifier(name)}`;
    if (!exists) {
      steps.push({ name: step, ok: false, detail: 'there is no such role' });
      remedies.push(`CREATE ROLE ${identifier(name)} NOLOGIN;`);
    } else if (tooMuch) {
      steps.push({ name: step, ok: false, detail: 'it is a superuser: a login must not become one' });
      remedies.push(`ALTER ROLE ${identifier(name)} NOSUPERUSER;`);
    } else {
      steps.push({ name: step, ok: grantable });
      if (!grantable) remedies.push(`GRANT ${identifier(name)} TO ${admin} WITH ADMIN OPTION;`);
    }
  }
  const { reassignTo } = rights;
  if (reassignTo) {
    steps.push({ name: `reassign to ${identifier(reassignTo.name)}`, ok: reassignTo.usable });
    if (!reassignTo.usable) remedies.push(`GRANT ${identifier(reassignTo.name)} TO ${admin};`);
  }
  for (const database of rights.closedDatabases) {
    steps.push({
      name: `connect to ${identifier(database)}`,
      ok: false,
      detail: 'what a login owns there could not be removed',
    });
    remedies.push(`GRANT CONNECT ON DATABASE ${identifier(database)} TO ${admin};`);
  }
}

async function tryLogin(report: Report, context: SelfTestContext, signal: AbortSignal): Promise<void> {
  const { runtime, settings } = context;
  const terms = trialTerms(runtime, context.mark, SELF_TEST_SECONDS * 1000);
  const scope = { roles: [], statements: [], settings: {} };
  const minted = await attempt(report, 'mint', () => mint(context, scope, terms, signal));
  const session = minted && (await attempt(report, 'log in', () => logIn(context, minted)));
  // Also when minting failed: it may have taken effect.
  const ending = { ...terms, handle: minted?.handle ?? null };
  await attempt(report, 'end', async () => {
    const { evidence } = await end(callOf(context, ending, signal));
    if (session) await mustBeCut(session.client);
    return evidence;
  });
  await session?.client.end().catch(() => {});
  if (session?.largeObject && typeof settings.owned_objects === 'object') {
    await attempt(report, 'remove what was reassigned', () =>
      context.connections.run(settings.database, 'remove a large object', signal, (client) =>
        client.query('SELECT lo_unlink($1::oid)', [session.largeObject]),
      ),
    );
  }
}

/** Logs in as the new role, and leaves something that it owns: a large object, which needs no right anywhere. */
async function logIn(
  { settings }: SelfTestContext,
  minted: Minted,
): Promise<{ client: pg.Client; largeObject: string }> {
  const { username, password } = minted.secret.values;
  const client = new pg.Client({
    ...connectionConfig(settings, settings.database),
    ...(username === undefined ? {} : { user: username }),
    ...(password === undefined ? {} : { password }),
  });
  client.on('error', () => {});
  await client.connect();
  const { rows } = await client.query('SELECT lo_create(0)::text AS oid');
  return { client, largeObject: rows[0].oid };
}

async function mustBeCut(client: pg.Client): Promise<void> {
  const alive = await client.query('SELECT').then(
    () => true,
    () => false,
  );
  if (alive) throw new ProviderError('target-failed', 'Cannot end a login: its session is still open');
}

/** What failed is a step of the report; the rest goes on without it. */
async function attempt<T>(report: Report, name: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    const result = await work();
    report.steps.push({ name, ok: true });
    return result;
  } catch (error) {
    const ours = providerError(name, error);
    report.steps.push({ name, ok: false, detail: ours.message });
    const remedy = REMEDIES[`${name} ${vendorCode(ours)}`];
    if (remedy) report.remedies.push(remedy);
    return undefined;
  }
}

/** What to do after a step that failed with an SQLSTATE, where the rights that were read do not say it. */
const REMEDIES: Readonly<Record<string, string>> = {
  'connect 28P01': 'Give the password of the role that `username` names',
  'connect 28000':
    'Let the role that `username` names log in from the broker: a line in pg_hba.conf, and LOGIN',
  'connect 3D000': 'CREATE DATABASE, or write the name of one that exists in `database`',
  'log in 28000':
    'Let the logins in from the broker too: a line `hostssl all all <address> scram-sha-256` in pg_hba.conf',
  'log in 42501': 'GRANT CONNECT ON DATABASE to the roles that the grants name, or to PUBLIC',
};

/** The roles that scopes name; those that a template will name are not known yet. */
function rolesIn(scopes: readonly unknown[]): string[] {
  const names = scopes.flatMap((scope) => {
    const roles = typeof scope === 'object' && scope !== null && 'roles' in scope ? scope.roles : [];
    return Array.isArray(roles) ? roles.filter((role) => typeof role === 'string') : [];
  });
  return [...new Set(names)].filter((name) => !name.includes('{{') && nameFault(name) === null);
}
