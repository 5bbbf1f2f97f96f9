import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BrokerProcess, MAIN, TSX } from './broker-process.ts';
import type { Chapter, Reporter } from './report.ts';
import { claimCutInTime, isCut, login, problemOf, theOne, tryLogin, until } from './tools.ts';
import { BATCH_JOB, OPERATOR, STRANGER, type World } from './world.ts';

const ASK = { grant: 'nightly-report', task: 'nightly-report', purpose: 'the nightly sales report' };
const JOB = join(import.meta.dirname, 'job.ts');

/** The grant's heartbeat, and a moment for the reaper. */
const GRACE_SECONDS = 12;

/** The whole story, chapter by chapter; returns the broker that is running at its end. */
export async function tellStory(
  world: World,
  broker: BrokerProcess,
  reporter: Reporter,
): Promise<BrokerProcess> {
  await batchJob(world, reporter.chapter('A batch job proves what it is, and gets a login for its task'));
  await openSession(
    world,
    reporter.chapter('It completes while a session is open: both login and session die'),
  );
  await refusals(world, reporter.chapter('A stranger, and a job that wants more'));
  await Promise.all([
    killedJob(world, reporter.chapter('A job is killed with SIGKILL: its heartbeat stops')),
    overrun(world, reporter.chapter('A job overruns its time')),
  ]);
  const restarted = await killedBroker(
    world,
    broker,
    reporter.chapter('The broker is killed between mint and activation'),
  );
  await ending(world, reporter.chapter('What is left'));
  return restarted;
}

async function batchJob(world: World, { claim }: Chapter): Promise<void> {
  const job = await exec(world, []);
  const [status] = await once(job.child, 'exit');
  const said = JSON.parse(job.output() || '{}') as { user?: string; total?: string; payroll?: string };
  claim(
    '`hallpass exec` ran an ordinary program, which read the sales',
    status === 0 && said.total === '405450',
    `as ${said.user}, total ${said.total}`,
  );
  claim('it was refused the payroll by the database', said.payroll === '42501', `SQLSTATE ${said.payroll}`);
  claim('when it ended, its login was gone', (await world.ourRoles()).length === 0);
}

async function openSession(world: World, { claim }: Chapter): Promise<void> {
  const task = await world.clientFor(BATCH_JOB).openTask(ASK);
  const credential = theOne(task);
  const session = await login(credential);
  claim('a session is open', (await session.query('select 1')).rowCount === 1, credential.lease.name);
  const done = await task.complete(0);
  claim('the open session is cut', await isCut(session));
  const again = await tryLogin(credential);
  claim('the login is refused', again === '28P01', `SQLSTATE ${again}`);
  claim(
    'the lease says so',
    done.leases.every((lease) => lease.outcome === 'revoked'),
    done.leases.map((lease) => lease.outcome).join(),
  );
}

async function refusals(world: World, { claim }: Chapter): Promise<void> {
  const stranger = await problemOf(world.clientFor(STRANGER).openTask(ASK));
  claim('another repository is refused', stranger === 'not-allowed', stranger);
  const wider = await problemOf(world.clientFor(BATCH_JOB).openTask({ ...ASK, ttl_seconds: 86_400 }));
  claim('a lifetime above the grant is refused', wider === 'not-allowed', wider);
  const hostile = { ...ASK, parameters: { region: "eu'; drop table sales; --" } };
  const other = await problemOf(world.clientFor(BATCH_JOB).openTask(hostile));
  claim('a parameter outside its list is refused', other === 'not-allowed', other);
  const { events } = await world.clientFor(OPERATOR).audit({ kind: 'request.refused', order: 'newest' });
  const reasons = events.map((event) => String((event.data as { detail?: string }).detail));
  const told = ['claims.repository_id', 'ttl', 'parameters.region'].every((word) =>
    reasons.some((reason) => reason.includes(word)),
  );
  claim('the log has the true reason of each', told, reasons[0]?.slice(0, 90) ?? 'no event');
}

async function killedJob(world: World, { claim }: Chapter): Promise<void> {
  const before = new Set(await world.ourRoles());
  const job = await exec(world, ['wait']);
  const role = await until(async () => {
    const said = job.output().split('\n')[0];
    return said ? (JSON.parse(said) as { user: string }).user : undefined;
  });
  claim('the job is at work', role !== undefined && !before.has(role), role ?? 'it said nothing');
  process.kill(job.child.pid ?? 0, 'SIGKILL');
  const killedAt = performance.now();
  await until(async () => ((await world.ourRoles()).includes(role ?? '') ? undefined : true));
  const seconds = (performance.now() - killedAt) / 1000;
  claim(
    'its login is gone when the heartbeat grace of 10 s is over',
    seconds < GRACE_SECONDS,
    `${seconds.toFixed(1)} s after the kill`,
  );
  const sessions = await world.owner.query('select from pg_stat_activity where usename = $1', [role]);
  claim('the orphaned child has lost its session', sessions.rowCount === 0);
}

async function overrun(world: World, { claim }: Chapter): Promise<void> {
  const task = await world.clientFor(BATCH_JOB).openTask({ ...ASK, ttl_seconds: 15 });
  const credential = theOne(task);
  const session = await login(credential);
  // It stays alive and says so: only its time runs out.
  await claimCutInTime(
    claim,
    'its session is cut when its time is up, though it still beats',
    { session, credential, reader: world.clientFor(OPERATOR) },
    () => task.heartbeat().catch(() => {}),
  );
}

async function killedBroker(world: World, broker: BrokerProcess, { claim }: Chapter): Promise<BrokerProcess> {
  // The warehouse hears the broker, and the broker no longer hears the warehouse.
  world.wire.set({ kind: 'deaf', replies: 0 });
  const asking = world
    .clientFor(BATCH_JOB)
    .openTask(ASK)
    .catch(() => null);
  const made = await until(async () => (await world.ourRoles())[0]);
  claim(
    'the warehouse has made the login, and the broker does not know',
    made !== undefined,
    made ?? 'nothing was made',
  );
  await broker.kill();
  world.wire.set({ kind: 'fair' });
  const restarted = await world.startBroker();
  claim('another broker is up on the same store', true, `pid ${restarted.pid}`);
  const gone = await until(async () => ((await world.ourRoles()).includes(made ?? '') ? undefined : true));
  claim('it ended what the dead one left behind', gone === true);
  const repeated = await asking;
  await repeated?.complete();
  claim(
    'the job that asked was not handed the lost login',
    !repeated?.credentials.some((credential) => credential.lease.name === made),
  );
  return restarted;
}

async function ending(world: World, { claim }: Chapter): Promise<void> {
  const operator = world.clientFor(OPERATOR);
  const settled = await until(async () => {
    const { leases } = await operator.listLeases({ limit: 500 });
    return leases.every((lease) => lease.state === 'ended') ? leases : undefined;
  });
  const outcomes = new Map<string, number>();
  for (const lease of settled ?? []) {
    const key = `${lease.end_reason} → ${lease.outcome}`;
    outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
  }
  claim(
    'every lease has ended',
    settled !== undefined && settled.length > 0,
    [...outcomes].map(([key, count]) => `${count} × ${key}`).join(', '),
  );
  const left = await world.ourRoles();
  claim('pg_roles holds nothing of ours', left.length === 0, `${left.length} roles`);
  const sessions = await world.owner.query("select from pg_stat_activity where usename like 'hp\\_%'");
  claim('no session of ours is open', sessions.rowCount === 0, `${sessions.rowCount} sessions`);
}

interface Job {
  readonly child: ChildProcess;
  output(): string;
}

/** Runs the job under `hallpass exec`, as a scheduler would. */
async function exec(world: World, words: readonly string[]): Promise<Job> {
  const tokenFile = join(world.folder, `token-${crypto.randomUUID()}`);
  await writeFile(tokenFile, await world.tokenFor(BATCH_JOB), { mode: 0o600 });
  const command = ['exec', '--grant', ASK.grant, '--task', ASK.task, '--purpose', ASK.purpose, '--'];
  const child = spawn(
    process.execPath,
    ['--import', TSX, MAIN, ...command, process.execPath, '--no-deprecation', '--import', TSX, JOB, ...words],
    {
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        HALLPASS_URL: world.url,
        HALLPASS_TOKEN_FILE: tokenFile,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk));
  return { child, output: () => output };
}
