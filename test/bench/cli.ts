import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defaultServerLimits } from '../../src/http/limits.ts';
import { startServer } from '../../src/http/server.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { fakeBorder } from '../fakes/border.ts';
import { seal } from '../fakes/seal.ts';
import { readOptions } from '../support/options.ts';

/**
 * What the built command line costs: `npm run build && npx tsx test/bench/cli.ts [--runs 30]`. Rounds take turns, so that
 * a busy machine is equally unkind to all; the least is what the code costs, the median what this machine made of it.
 */
const options = readOptions({ runs: { type: 'string', default: '20' } });
const RUNS = Number(options.runs);
const HALLPASS = fileURLToPath(new URL('../../dist/hallpass.js', import.meta.url));
if (!existsSync(HALLPASS)) throw new Error('Build first: npm run build');

const border = fakeBorder({ seal });
let servingMs = 0;
const served = new Proxy(border.app, {
  get(app, member) {
    if (member !== 'fetch') return Reflect.get(app, member);
    return async (...args: Parameters<typeof app.fetch>) => {
      const from = performance.now();
      const answer = await app.fetch(...args);
      servingMs += performance.now() - from;
      return answer;
    };
  },
});
const server = await startServer({
  app: served,
  listen: { host: '127.0.0.1', port: 0 },
  limits: defaultServerLimits,
  runtime: systemRuntime,
});

interface Taken {
  readonly wallMs: number;
  /** What the processors did for it: a busy machine inflates this less than the time on the wall. */
  readonly cpuMs: number;
}

/** One run. The shell's `times` says what its children took. */
function time(file: string, args: readonly string[], env: Record<string, string> = {}): Promise<Taken> {
  const script = '"$@" >/dev/null 2>&1 || exit 1; times';
  const from = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', ['-c', script, 'sh', file, ...args], {
      env: { PATH: `${process.env.PATH}`, ...env },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk));
    child.once('error', reject);
    child.once('close', (code) => {
      const wallMs = performance.now() - from;
      const seconds = [...(out.split('\n')[1] ?? '').matchAll(/(\d+)m([\d.]+)s/g)];
      const cpuMs = seconds.reduce(
        (sum, [, minutes, rest]) => sum + Number(minutes) * 60_000 + Number(rest) * 1000,
        0,
      );
      if (code === 0) resolve({ wallMs, cpuMs });
      else reject(new Error(`${args} ended with ${code}`));
    });
  });
}

const job = { HALLPASS_URL: server.address.url, HALLPASS_TOKEN: border.verbs.admit('job') };
const exec = [HALLPASS, 'exec', '--grant', 'reports', '--task', 'bench', '--', 'true'];
const subjects: Record<string, () => Promise<Taken>> = {
  'the command alone (true)': () => time('true', []),
  'node alone (node -e 0)': () => time(process.execPath, ['-e', '0']),
  'hallpass --version': () => time(process.execPath, [HALLPASS, '--version']),
  'hallpass exec -- true': () => time(process.execPath, exec, job),
};

const samples = new Map(Object.keys(subjects).map((name) => [name, [] as Taken[]]));
for (let run = 0; run < RUNS; run++)
  for (const [name, measure] of Object.entries(subjects)) samples.get(name)?.push(await measure());
await server.stop(1000);

const least = (name: string) => Math.min(...(samples.get(name) ?? []).map(({ wallMs }) => wallMs));
const middle = (numbers: number[]) =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
const round = (ms: number) => `${ms.toFixed(1).padStart(7)} ms`;
for (const [name, taken] of samples) {
  const wall = middle(taken.map(({ wallMs }) => wallMs));
  const cpu = Math.min(...taken.map(({ cpuMs }) => cpuMs));
  console.log(
    `${name.padEnd(28)} least ${round(least(name))}   median ${round(wall)}   processor ${round(cpu)}`,
  );
}
const serving = servingMs / RUNS;
const added = least('hallpass exec -- true') - least('the command alone (true)') - serving;
const version = least('hallpass --version');
console.log(`
exec adds, without the broker's ${round(serving).trim()}: ${round(added)}  (bound 150 ms)
  node itself                ${round(least('node alone (node -e 0)'))}
  reading the command line   ${round(version - least('node alone (node -e 0)'))}
  client, files, child       ${round(added - version + least('the command alone (true)'))}
--version                    ${round(version)}  (bound 60 ms)`);
if (added > 150 || version > 60) process.exitCode = 1;
