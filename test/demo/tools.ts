import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Client } from '../../src/client/client.ts';
import { HallpassProblem } from '../../src/client/problem.ts';
import type { Credential, TaskHandle } from '../../src/client/task.ts';
import type { Chapter } from './report.ts';

/** How long anything in a story may take before the claim that waits for it fails. */
const PATIENCE_MS = 45_000;

export function theOne(task: TaskHandle): Credential {
  const [credential] = task.credentials;
  if (!credential) throw new Error('The task came without a credential');
  return credential;
}

export async function login({ secret: { values } }: Credential): Promise<pg.Client> {
  const client = new pg.Client({
    host: values.host,
    port: Number(values.port),
    database: values.database,
    user: values.username,
    password: values.password,
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** What a login comes to: "logged in", or the SQLSTATE of its refusal. */
export async function tryLogin(credential: Credential): Promise<string> {
  try {
    await (await login(credential)).end();
    return 'logged in';
  } catch (error) {
    return (error as { code?: string }).code ?? 'refused';
  }
}

/** Whether the server has cut a session that was open. */
export function isCut(session: pg.Client): Promise<boolean> {
  return session.query('select 1').then(
    () => false,
    () => true,
  );
}

/** Claims that an open session is cut when its time is up, and that `reader` reads so of its lease. */
export async function claimCutInTime(
  claim: Chapter['claim'],
  says: string,
  { session, credential, reader }: { session: pg.Client; credential: Credential; reader: Client },
  meanwhile?: () => Promise<unknown>,
): Promise<void> {
  const expiresAt = Date.parse(credential.lease.expires_at);
  const cutAt = await untilCut(session, expiresAt, meanwhile);
  const late = cutAt === undefined ? Number.NaN : (cutAt - expiresAt) / 1000;
  claim(says, late > -1 && late < 3, `${late.toFixed(1)} s after expiry`);
  const lease = await until(async () => {
    const read = await reader.readLease(credential.lease.id);
    return read.state === 'ended' ? read : undefined;
  });
  claim(
    'the lease says so',
    lease?.outcome === 'revoked' && lease.end_reason === 'expired',
    `${lease?.outcome}, ${lease?.end_reason}`,
  );
}

/** When an open session was cut; undefined when it was not, long after its expiry. `meanwhile` is done at each look. */
async function untilCut(
  session: pg.Client,
  expiresAt: number,
  meanwhile: () => Promise<unknown> = async () => {},
): Promise<number | undefined> {
  while (Date.now() < expiresAt + PATIENCE_MS) {
    await meanwhile();
    if (await isCut(session)) return Date.now();
    await delay(200);
  }
  return undefined;
}

/** The code of the refusal, or "allowed". */
export async function problemOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'allowed';
  } catch (error) {
    if (error instanceof HallpassProblem) return error.code;
    throw error;
  }
}

/** Asks until there is an answer, or patience ends. */
export async function until<T>(ask: () => Promise<T | undefined>): Promise<T | undefined> {
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await delay(50);
  }
  return undefined;
}
