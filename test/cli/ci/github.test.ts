import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { defaultServerLimits } from '../../../src/http/limits.ts';
import { type RunningServer, startServer } from '../../../src/http/server.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { fakeBorder } from '../../fakes/border.ts';
import { seal } from '../../fakes/seal.ts';

/** GitHub's runner, as far as an action sees it: environment files, commands, masks, state, and the post step. */

const ACTION = fileURLToPath(new URL('../../../deploy/ci/github-action', import.meta.url));
const action = parse(readFileSync(join(ACTION, 'action.yml'), 'utf8')) as {
  inputs: Record<string, { default?: string; required?: boolean }>;
  runs: { using: string; main: string; post: string };
};

let folder: string;
let border: ReturnType<typeof fakeBorder>;
let broker: RunningServer;
let oidc: Server;
let oidcUrl: string;
const audiences: (string | null)[] = [];
const proof = randomBytes(16).toString('hex');
const children = new Set<ChildProcess>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hallpass-runner-'));
  await build({
    entryPoints: ['main', 'post'].map((name) => ({
      in: fileURLToPath(new URL(`../../../src/cli/ci/github-${name}.ts`, import.meta.url)),
      out: name,
    })),
    outdir: join(folder, 'action/dist'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    logLevel: 'error',
  });
  border = fakeBorder({ seal, heartbeatSeconds: 6 });
  broker = await startServer({
    app: border.app,
    listen: { host: '127.0.0.1', port: 0 },
    limits: defaultServerLimits,
    runtime: systemRuntime,
  });
  oidc = createServer((request, response) => {
    if (request.headers.authorization !== `Bearer ${proof}`) return void response.writeHead(401).end();
    audiences.push(new URL(request.url ?? '', 'http://x').searchParams.get('audience'));
    response.end(JSON.stringify({ value: border.verbs.admit('repo:acme/reports') }));
  });
  await new Promise<void>((resolve) => oidc.listen(0, '127.0.0.1', resolve));
  oidcUrl = `http://127.0.0.1:${(oidc.address() as { port: number }).port}/token?api-version=2`;
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  oidc.close();
  await broker.stop(1000);
  await rm(folder, { recursive: true });
});

/** One job on a runner of its own. */
function runner(inputs: Record<string, string>, more: Record<string, string> = {}) {
  const home = mkdtempSync(join(folder, 'job-'));
  const temp = join(home, 'temp');
  mkdirSync(temp);
  const files = Object.fromEntries(
    ['GITHUB_ENV', 'GITHUB_OUTPUT', 'GITHUB_STATE'].map((name) => {
      writeFileSync(join(home, name), '');
      return [name, join(home, name)];
    }),
  );
  const masks: string[] = [];
  const shown: string[] = [];
  const commands: string[] = [];
  let jobEnv: Record<string, string> = { PATH: `${process.env.PATH}`, RUNNER_TEMP: temp, ...more };

  /** What people see of a line: masks are stars. */
  const print = (text: string) => {
    for (const line of text.split('\n')) {
      const [, name, value = ''] = /^::([\w-]+)::(.*)$/.exec(line) ?? [];
      if (name === 'add-mask') {
        masks.push(value.replaceAll('%0A', '\n').replaceAll('%0D', '\r').replaceAll('%25', '%'));
        continue;
      }
      if (name) commands.push(name);
      shown.push(masks.reduce((seen, mask) => seen.replaceAll(mask, '***'), line));
    }
  };
  const run = (file: string, args: string[], env: Record<string, string>) => {
    const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(child);
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk));
    child.stderr.on('data', (chunk: Buffer) => (out += chunk));
    const ended = new Promise<number | null>((resolve) =>
      child.once('close', (code) => {
        children.delete(child);
        print(out);
        resolve(code);
      }),
    );
    return { child, ended, out: () => out };
  };
  const script = (which: 'main' | 'post') => join(folder, 'action', action.runs[which]);
  const given = { ...defaults(), url: broker.address.url, ...inputs };
  const stepEnv = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value]),
  );
  return {
    temp,
    masks,
    shown,
    commands,
    outputs: () => readPairs(files.GITHUB_OUTPUT!),
    state: () => readPairs(files.GITHUB_STATE!),
    async main() {
      const env = { ...jobEnv, ...files, ...stepEnv };
      const own = { ACTIONS_ID_TOKEN_REQUEST_URL: oidcUrl, ACTIONS_ID_TOKEN_REQUEST_TOKEN: proof };
      const code = await run(process.execPath, [script('main')], { ...own, ...env }).ended;
      jobEnv = { ...jobEnv, ...readPairs(files.GITHUB_ENV!) };
      return code;
    },
    step: (shell: string) => run('/bin/sh', ['-ec', shell], jobEnv),
    post() {
      const states = Object.entries(readPairs(files.GITHUB_STATE!)).map(([name, value]) => [
        `STATE_${name}`,
        value,
      ]);
      return run(process.execPath, [script('post')], {
        ...jobEnv,
        ...files,
        ...stepEnv,
        ...Object.fromEntries(states),
      }).ended;
    },
  };
}

/** What the workflow's expressions in the defaults come to. */
function defaults(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(action.inputs).map(([name, { default: value = '' }]) => [
      name,
      value.replace(/\$\{\{.*\}\}/, 'nightly-1'),
    ]),
  );
}

/** Reads `name<<end` ... `end`, as the runner does. */
function readPairs(file: string): Record<string, string> {
  const lines = readFileSync(file, 'utf8').split('\n');
  const pairs: Record<string, string> = {};
  for (let at = 0; at < lines.length - 1; at++) {
    const [, name = '', end = ''] = /^([^=<]+)<<(.+)$/.exec(lines[at] ?? '') ?? [];
    const last = lines.indexOf(end, at + 1);
    if (!name || last < 0) throw new Error(`cannot read line ${at} of ${file}`);
    pairs[name] = lines.slice(at + 1, last).join('\n');
    at = last;
  }
  return pairs;
}

const ended = (id: string) => border.verbs.tasks.get(id)?.state === 'ended';

describe('the GitHub Action', () => {
  it.each([
    ['succeeds', 'test -s "$PGPASSFILE"; echo "user $PGUSER"', 0],
    ['fails', 'cat "$PGPASSFILE"; exit 3', 3],
  ] as const)('the job %s: masks, exports, and completes in the post step', async (_, shell, status) => {
    const job = runner({ grant: 'reports' });
    expect(await job.main()).toBe(0);
    const { task = '' } = job.outputs();
    expect(border.verbs.tasks.get(task)).toMatchObject({ state: 'open', name: 'nightly-1' });
    expect(await job.step(shell).ended).toBe(status);
    expect(ended(task)).toBe(false);
    expect(await job.post()).toBe(0);
    expect(border.verbs.tasks.get(task)).toMatchObject({ state: 'ended', endReason: 'completed' });
    expect(job.shown.join('\n')).toMatch(/warehouse: hp_test_\w{26} revoked/);
    expect(existsSync(job.state().folder!)).toBe(false);
    expect(audiences.at(-1)).toBe(broker.address.url);
  });

  it('the job is cancelled: the post step runs, and completes', async () => {
    const job = runner({ grant: 'reports' });
    await job.main();
    const step = job.step('trap "" INT; echo at work; while :; do sleep 0.05; done');
    while (!step.out().includes('at work')) await new Promise((resolve) => setTimeout(resolve, 10));
    // Interrupted, then terminated, then killed: so does the runner.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) step.child.kill(signal);
    await step.ended;
    await job.post();
    expect(ended(job.outputs().task!)).toBe(true);
    expect(existsSync(job.state().folder!)).toBe(false);
  });

  it('no secret is seen: not in the log, not in what later steps are given but by file', async () => {
    const job = runner({ grant: 'reports', env: 'PGPASS=warehouse.password' });
    await job.main();
    await job.step('cat "$PGPASSFILE"; echo "$PGPASS"').ended;
    await job.post();
    const secret = job.masks.find((mask) => mask.length === 24) ?? '';
    expect(secret).not.toBe('');
    expect(job.shown.join('\n')).toContain('***');
    expect(job.shown.join('\n')).not.toContain(secret);
    expect(job.masks).toContain(job.state().token);
    // What everybody may read stays readable.
    expect(job.masks).not.toContain('5432');
    expect(job.masks).not.toContain('127.0.0.1');
  });

  it('beats between the steps, and stops with the job', async () => {
    const beats = () => border.verbs.calls.filter(({ verb }) => verb === 'heartbeat').length;
    const job = runner({ grant: 'reports' });
    await job.main();
    const pid = Number(job.state().pid);
    const before = beats();
    while (beats() === before) await new Promise((resolve) => setTimeout(resolve, 50));
    await job.post();
    const alive = () => {
      try {
        process.kill(pid, 0);
        return true;
      } catch {
        return false;
      }
    };
    while (alive()) await new Promise((resolve) => setTimeout(resolve, 20));
  });

  it.each([
    [{ grant: '' }, 'grant: write it'],
    [{ grant: 'nobody' }, 'No policy allows this request'],
    [{ grant: 'reports', 'ttl-seconds': '1h' }, 'ttl-seconds: write whole seconds'],
    [{ grant: 'reports', parameters: 'region' }, 'parameters: write name=value'],
  ])('a step that cannot have its credentials fails, and says why: %j', async (inputs, message) => {
    const job = runner(inputs as Record<string, string>);
    expect(await job.main()).toBe(1);
    expect(job.commands).toContain('error');
    expect(job.shown.join('\n')).toContain(message);
    expect(await job.post()).toBe(0);
  });

  it('says what to write when the job may not prove who it is', async () => {
    const job = runner({ grant: 'reports' }, { ACTIONS_ID_TOKEN_REQUEST_URL: '' });
    expect(await job.main()).toBe(1);
    expect(job.shown.join('\n')).toContain('id-token: write');
  });

  it('what came in as text gives no command: a purpose with lines in it stays a purpose', async () => {
    const job = runner({ grant: 'reports', purpose: 'x\n::set-env name=PATH::/evil' });
    expect(await job.main()).toBe(0);
    expect(job.commands).not.toContain('set-env');
    await job.post();
    expect(ended(job.outputs().task!)).toBe(true);
  });
});
