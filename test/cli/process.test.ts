import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultServerLimits } from '../../src/http/limits.ts';
import { type RunningServer, startServer } from '../../src/http/server.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { fakeBorder } from '../fakes/border.ts';
import { seal } from '../fakes/seal.ts';

const HALLPASS = fileURLToPath(new URL('./support/hallpass.ts', import.meta.url));

let folder: string;
let server: RunningServer;
let border: ReturnType<typeof fakeBorder>;
let children: ChildProcess[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hallpass-process-'));
  children = [];
  border = fakeBorder({ seal, heartbeatSeconds: 30 });
  server = await startServer({
    app: border.app,
    listen: { host: '127.0.0.1', port: 0 },
    limits: defaultServerLimits,
    runtime: systemRuntime,
  });
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await server.stop(1000);
  await rm(folder, { recursive: true });
});

/** `hallpass exec -- sh -c script` as a process of its own. */
function exec(script: string) {
  const report = join(folder, 'report');
  const args = [
    'exec',
    '--grant',
    'reports',
    '--task',
    'nightly-1',
    '--',
    '/bin/sh',
    '-c',
    `exec 3>${report}; ${script}`,
  ];
  const child = spawn(process.execPath, ['--import', 'tsx', HALLPASS, ...args], {
    env: {
      PATH: process.env.PATH,
      XDG_RUNTIME_DIR: folder,
      HALLPASS_URL: server.address.url,
      HALLPASS_TOKEN: border.verbs.admit('job'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal })),
  );
  const reported = () => (existsSync(report) ? readFileSync(report, 'utf8') : '');
  return { child, ended, reported, err: () => err };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

const secretsLeft = () => readdirSync(folder).filter((name) => name.startsWith('hallpass-'));
const task = () => [...border.verbs.tasks.values()][0];

describe('hallpass exec as a process', () => {
  it('ends with the status of the command, and leaves nothing behind', async () => {
    const run = exec('test -s "$PGPASSFILE" && echo ok >&3; exit 6');
    expect(await run.ended).toEqual({ code: 6, signal: null });
    expect([run.reported(), run.err()]).toEqual(['ok\n', '']);
    expect(task()).toMatchObject({ state: 'ended', exitStatus: 6 });
    expect(secretsLeft()).toEqual([]);
  });

  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('asks back on %s', async (signal, status) => {
    const run = exec('echo ready >&3; exec sleep 60');
    await until(() => run.reported().includes('ready'));
    expect(secretsLeft()).toHaveLength(1);
    run.child.kill(signal);
    expect(await run.ended).toEqual({ code: status, signal: null });
    expect(task()).toMatchObject({ state: 'ended', exitStatus: status });
    expect(secretsLeft()).toEqual([]);
  });

  it('waits for a command that takes its time to stop', async () => {
    const run = exec(
      'trap "sleep 0.3; echo stopped >&3; exit 0" TERM; echo ready >&3; while :; do sleep 0.02; done',
    );
    await until(() => run.reported().includes('ready'));
    run.child.kill('SIGTERM');
    expect(await run.ended).toEqual({ code: 0, signal: null });
    expect(run.reported()).toBe('ready\nstopped\n');
    expect(task()?.state).toBe('ended');
  });

  it('gives the secret to nobody else: not to its arguments, not to its output', async () => {
    const run = exec('cat "$PGPASSFILE" >&3; tr "\\0" " " < /proc/$PPID/cmdline >&3');
    await run.ended;
    const [line = '', commandLine = ''] = run.reported().split('\n');
    const password = line.split(':').at(-1) ?? '';
    expect(password).toHaveLength(24);
    expect(commandLine).not.toContain(password);
    expect(run.err()).not.toContain(password);
    expect(border.lines.join('')).not.toContain(password);
  });
});
