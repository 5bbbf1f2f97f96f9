import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { BrokerProcess } from '../demo/broker-process.ts';
import { BATCH_JOB, buildWorld, type World } from '../demo/world.ts';
import { layEmbeddedStore } from '../support/stores.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { type Bundle, bundleHallpass } from './support/bundle.ts';

/** What the target holds after `hallpass exec` has ended in every way there is, against a real broker and warehouse. */

/** The grant's heartbeat, the reaper's turn, and a busy machine. */
const GRACE_MS = 10_000 + 4_000;
/** Completing is answered when the login is gone; what is left is our own question. */
const AT_ONCE_MS = 1_500;

// Most of each is waiting.
vi.setConfig({ maxConcurrency: 7, testTimeout: 60_000 });

const PSQL = has('psql');
const PYTHON = has('python3');

function has(program: string): boolean {
  try {
    execFileSync('/bin/sh', ['-c', `command -v ${program}`]);
    return true;
  } catch {
    return false;
  }
}

let world: World;
let broker: BrokerProcess;
let bundle: Bundle;
const proxies: TcpProxy[] = [];
const children: ChildProcess[] = [];

beforeAll(async () => {
  [world, bundle] = await Promise.all([buildWorld(), bundleHallpass()]);
  await layEmbeddedStore(join(world.folder, 'state'));
  broker = await world.startBroker();
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await broker.stop();
  for (const proxy of proxies) await proxy.close();
  await world[Symbol.asyncDispose]();
  await bundle[Symbol.asyncDispose]();
});

interface Run {
  readonly child: ChildProcess;
  readonly network: TcpProxy;
  readonly ended: Promise<{ code: number | null; at: number }>;
  /** The login at the warehouse, once the command has said that it uses it. */
  role(): Promise<string>;
  /** The process that `hallpass` runs. */
  pid(): number;
  err(): string;
  /** Lets the command go on to its end. */
  go(): void;
  secretsLeft(): string[];
  /** What the command writes once it runs. */
  readonly report: string;
}

/**
 * `hallpass exec` around a shell that logs in with psql, says who it is, keeps a session open, and then waits to be told
 * to go on with `end`.
 */
async function exec(end: string, options: { down?: true; terminal?: true } = {}): Promise<Run> {
  const folder = mkdtempSync(join(world.folder, 'run-'));
  const runtimeDir = join(folder, 'runtime');
  mkdirSync(runtimeDir, { mode: 0o700 });
  const network = await startTcpProxy({ host: '127.0.0.1', port: Number(new URL(world.url).port) });
  proxies.push(network);
  if (options.down) network.set({ kind: 'down' });
  const [report, flag] = [join(folder, 'report'), join(folder, 'go')];
  const script = `echo "$$ $(psql -Atc 'select current_user')" > ${report}.new; mv ${report}.new ${report}
    while [ ! -e ${flag} ]; do sleep 0.1; done; ${end}`;
  const ask = ['--grant', 'nightly-report', '--task', 'nightly-report', '--purpose', 'ends'];
  const args = [bundle.file, 'exec', ...ask, '--', '/bin/sh', '-c', script];
  const command = options.terminal
    ? ['python3', ['-c', TERMINAL, flag, process.execPath, ...args]]
    : [process.execPath, args];
  const child = spawn(command[0] as string, command[1] as string[], {
    env: {
      PATH: process.env.PATH,
      XDG_RUNTIME_DIR: runtimeDir,
      HALLPASS_URL: `http://127.0.0.1:${network.port}`,
      HALLPASS_TOKEN: await world.tokenFor(BATCH_JOB),
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  children.push(child);
  let err = '';
  child.stderr.on('data', (chunk: Buffer) => (err += chunk));
  const ended = new Promise<{ code: number | null; at: number }>((resolve) =>
    child.once('exit', (code) => resolve({ code, at: performance.now() })),
  );
  const said = async () => {
    while (!existsSync(report)) await delay(20);
    return readFileSync(report, 'utf8').trim().split(' ');
  };
  return {
    child,
    network,
    ended,
    report,
    err: () => err,
    role: async () => (await said())[1] ?? '',
    pid: () => Number(readFileSync(report, 'utf8').split(' ')[0]),
    go: () => writeFileSync(flag, ''),
    secretsLeft: () => readdirSync(runtimeDir),
  };
}

/** Runs a command in a terminal of its own, and closes the terminal when the flag appears. */
const TERMINAL = `
import os, pty, sys, time
flag, argv = sys.argv[1], sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv)
while not os.path.exists(flag):
    time.sleep(0.05)
os.close(fd)
os.waitpid(pid, 0)
`;

/** Milliseconds until the warehouse does not know the role any more. */
async function goneAfter(role: string, since: number): Promise<number> {
  expect(role).toMatch(/^hp_/);
  while ((await world.ourRoles()).includes(role)) {
    if (performance.now() - since > 40_000) return Number.POSITIVE_INFINITY;
    await delay(50);
  }
  return performance.now() - since;
}

describe.concurrent('exec: what the warehouse holds afterwards', () => {
  it.for([0, 7])('the command ends with %i: nothing, at once', async (status, ctx) => {
    if (!PSQL) return ctx.skip('needs psql (Debian postgresql-client)');
    const run = await exec(`exit ${status}`);
    const role = await run.role();
    run.go();
    const { code, at } = await run.ended;
    expect(code).toBe(status);
    expect(await goneAfter(role, at)).toBeLessThan(AT_ONCE_MS);
    expect(run.secretsLeft()).toEqual([]);
  });

  it.for([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s to hallpass: nothing, at once', async ([signal, status], ctx) => {
    if (!PSQL) return ctx.skip('needs psql (Debian postgresql-client)');
    const run = await exec('exit 0');
    const role = await run.role();
    run.child.kill(signal);
    const { code, at } = await run.ended;
    expect(code).toBe(status);
    expect(await goneAfter(role, at)).toBeLessThan(AT_ONCE_MS);
    expect(run.secretsLeft()).toEqual([]);
  });

  it('SIGKILL of the command: nothing, at once', async (ctx) => {
    if (!PSQL) return ctx.skip('needs psql (Debian postgresql-client)');
    const run = await exec('exit 0');
    const role = await run.role();
    process.kill(run.pid(), 'SIGKILL');
    const { code, at } = await run.ended;
    expect(code).toBe(137);
    expect(await goneAfter(role, at)).toBeLessThan(AT_ONCE_MS);
  });

  it.for(['hallpass', 'both'])('SIGKILL of %s: nothing, when the heartbeat is overdue', async (whom, ctx) => {
    if (!PSQL) return ctx.skip('needs psql (Debian postgresql-client)');
    const run = await exec('exit 0');
    const role = await run.role();
    const since = performance.now();
    run.child.kill('SIGKILL');
    if (whom === 'both') process.kill(run.pid(), 'SIGKILL');
    expect(await goneAfter(role, since)).toBeLessThan(GRACE_MS);
    run.go();
  });

  it('the terminal is closed: nothing, at once', async (ctx) => {
    if (!PSQL || !PYTHON) return ctx.skip('needs psql and python3');
    const run = await exec('exit 0', { terminal: true });
    const role = await run.role();
    const since = performance.now();
    run.go();
    await run.ended;
    expect(await goneAfter(role, since)).toBeLessThan(AT_ONCE_MS + 1_000);
    expect(run.secretsLeft()).toEqual([]);
  });

  it('the broker is away at the start: the command never runs', async () => {
    const run = await exec('exit 0', { down: true });
    const { code } = await run.ended;
    expect(code).toBe(125);
    expect(run.err()).toContain('Cannot reach the broker');
    expect(run.secretsLeft()).toEqual([]);
    expect(existsSync(run.report)).toBe(false);
  });

  it('the broker is away for a while: the command does not notice, and ends as ever', async (ctx) => {
    if (!PSQL) return ctx.skip('needs psql (Debian postgresql-client)');
    const run = await exec("psql -Atc 'select 1' && exit 3");
    const role = await run.role();
    run.network.set({ kind: 'down' });
    await delay(5_500);
    run.network.set({ kind: 'fair' });
    for (let i = 0; i < 800 && !run.err().includes('answers again'); i++) await delay(50);
    expect(run.err()).toContain('answers again');
    run.go();
    const { code, at } = await run.ended;
    expect(code).toBe(3);
    expect(run.err()).toContain('misses a heartbeat');
    expect(await goneAfter(role, at)).toBeLessThan(AT_ONCE_MS);
  });

  it('the broker is away at the end, and comes back: nothing, once it was told', async (ctx) => {
    if (!PSQL) return ctx.skip('needs psql (Debian postgresql-client)');
    const run = await exec('exit 4');
    const role = await run.role();
    run.network.set({ kind: 'down' });
    run.go();
    await delay(1_500);
    run.network.set({ kind: 'fair' });
    const { code, at } = await run.ended;
    expect(code).toBe(4);
    expect(await goneAfter(role, at)).toBeLessThan(AT_ONCE_MS);
    expect(run.err()).not.toContain('Cannot tell the broker');
  });

  it('the broker is away from the middle on: the heartbeat ends it, and exec says what it could not', async (ctx) => {
    if (!PSQL) return ctx.skip('needs psql (Debian postgresql-client)');
    const run = await exec('exit 5');
    const role = await run.role();
    const since = performance.now();
    run.network.set({ kind: 'down' });
    run.go();
    expect(await goneAfter(role, since)).toBeLessThan(GRACE_MS);
    const { code } = await run.ended;
    expect(code).toBe(5);
    expect(run.err()).toContain('Cannot tell the broker that the task has ended');
    expect(run.secretsLeft()).toEqual([]);
  });
});
