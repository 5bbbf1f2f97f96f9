import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultServerLimits } from '../../../src/http/limits.ts';
import { startServer } from '../../../src/http/server.ts';
import type { Secret } from '../../../src/providers/provider.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { fakeBorder } from '../../fakes/border.ts';
import { fakeClock } from '../../fakes/clock.ts';
import { seal } from '../../fakes/seal.ts';
import { type Bundle, bundleHallpass } from './bundle.ts';

/** How a program ended, and what it said. */
export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The real API with credentials of every shape, and the command line as a program beside it. */
export async function deliveryWorld(options: Parameters<typeof fakeBorder>[0] = {}) {
  const bundle: Bundle = await bundleHallpass();
  const border = fakeBorder({ seal, clock: fakeClock(Date.now()), secretOf: secretOf, ...options });
  const server = await startServer({
    app: border.app,
    listen: { host: '127.0.0.1', port: 0 },
    limits: defaultServerLimits,
    runtime: systemRuntime,
  });
  const home = mkdtempSync(join(tmpdir(), 'hallpass-home-'));
  const runtimeDir = join(home, 'runtime');
  mkdirSync(runtimeDir, { mode: 0o700 });
  const started = new Set<ChildProcess>();
  const env: Record<string, string> = {
    PATH: `${process.env.PATH}`,
    HOME: home,
    XDG_RUNTIME_DIR: runtimeDir,
    HALLPASS_URL: server.address.url,
    HALLPASS_TOKEN: border.verbs.admit('job'),
  };

  /** Starts a program and gathers what it says. */
  function start(file: string, args: readonly string[], more: Record<string, string> = {}, input = '') {
    const child = spawn(file, args, { env: { ...env, ...more }, stdio: ['pipe', 'pipe', 'pipe'] });
    started.add(child);
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (out += chunk));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const ended = new Promise<Ran>((resolve) =>
      child.once('close', (code) => {
        started.delete(child);
        resolve({ code, out, err });
      }),
    );
    return { child, ended, out: () => out, err: () => err };
  }
  const hallpass = (args: readonly string[], more?: Record<string, string>, input?: string) =>
    start(process.execPath, [bundle.file, ...args], more, input);

  return {
    ...border,
    home,
    runtimeDir,
    env,
    bundle,
    start,
    hallpass,
    /** `hallpass` as one word, for the configuration of a client. */
    command: `${process.execPath} ${bundle.file}`,
    /** An agent that is ready, and the variables that it gives to programs. */
    async agent(...args: string[]) {
      const dir = mkdtempSync(join(home, 'agent-'));
      const running = hallpass(['agent', ...ASK, '--dir', dir, ...args]);
      while (!running.out().includes('/env')) {
        if (running.child.exitCode !== null) throw new Error(running.err());
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return { ...running, dir, variables: sourced(join(dir, 'env'), env.PATH) };
    },
    async [Symbol.asyncDispose]() {
      for (const child of started) child.kill('SIGKILL');
      await server.stop(1000);
      await bundle[Symbol.asyncDispose]();
    },
  };
}

export const ASK = ['--grant', 'reports', '--task', 'nightly-1'];

/** What a shell that reads this file exports. */
function sourced(file: string, path: string | undefined): Record<string, string> {
  const script = `. ${file}; exec env -0`;
  const text = execFileSync('/bin/sh', ['-c', script], { env: { PATH: path }, encoding: 'utf8' });
  const pairs = text
    .split('\0')
    .filter(Boolean)
    .map((line) => line.split(/=(.*)/s).slice(0, 2));
  return Object.fromEntries(
    pairs.filter(([name]) => !['PWD', 'SHLVL', '_', 'PATH', 'OLDPWD'].includes(name ?? '')),
  );
}

/** A secret of the shape that the credential's name says. */
function secretOf(credential: string, leaseId: string): Secret {
  const random = () => randomBytes(24).toString('base64url');
  const name = `hp_test_${leaseId}`;
  const expires = new Date(Date.now() + 900_000).toISOString();
  switch (credential) {
    case 'aws':
      return {
        type: 'aws',
        values: {
          access_key_id: `ASIA${leaseId.slice(-16).toUpperCase()}`,
          secret_access_key: random(),
          session_token: random(),
          expiration: expires,
          region: 'eu-central-1',
        },
      };
    case 'google':
      return {
        type: 'google',
        values: {
          access_token: `ya29.${random()}`,
          expires_at: expires,
          service_account: 'reports@acme-data.iam.gserviceaccount.com',
        },
      };
    case 'identity':
      return { type: 'google', values: { id_token: random(), expires_at: expires } };
    case 'cluster':
      return { type: 'kubernetes', values: { token: random(), server: 'https://127.0.0.1:6443' } };
    case 'forge':
      return { type: 'github', values: { token: `ghs_${random()}` } };
    default:
      return {
        type: 'postgres',
        values: {
          host: '127.0.0.1',
          port: '5432',
          database: 'warehouse',
          username: name,
          password: random(),
        },
      };
  }
}

export function has(program: string): boolean {
  try {
    execFileSync('/bin/sh', ['-c', `command -v ${program}`]);
    return true;
  } catch {
    return false;
  }
}
