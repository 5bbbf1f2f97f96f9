import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { defaultServerLimits } from '../../src/http/limits.ts';
import { startServer } from '../../src/http/server.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { fakeBorder } from '../fakes/border.ts';
import { seal } from '../fakes/seal.ts';

/**
 * What the built command line costs: `npm run build && npx tsx test/bench/cli.ts [--runs 30]`. Rounds take turns, so that
 * a busy machine is equally unkind to all; the least is what the code costs, the median what this machine made of it.
 */
const { values } = parseArgs({ options: { runs: { type: 'string', default: '20' } } });
const RUNS = Number(values.runs);
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

/** One run, in milliseconds. */
function time(file: string, args: readonly string[], env: Record<string, string> = {}): Promise<number> {
  const from = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env: { PATH: `${process.env.PATH}`, ...env }, stdio: 'ignore' });
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve(performance.now() - from) : reject(new Error(`${args} ended with ${code}`)),
    );
  });
}

const job = { HALLPASS_URL: server.address.url, HALLPASS_TOKEN: border.verbs.admit('job') };
const exec = [HALLPASS, 'exec', '--grant', 'reports', '--task', 'bench', '--', 'true'];
const subjects: Record<string, () => Promise<number>> = {
  'the command alone (true)': () => time('true', []),
  'node alone (node -e 0)': () => time(process.execPath, ['-e', '0']),
  'hallpass --version': () => time(process.execPath, [HALLPASS, '--version']),
  'hallpass exec -- true': () => time(process.execPath, exec, job),
};

const samples = new Map(Object.keys(subjects).map((name) => [name, [] as number[]]));
for (let run = 0; run < RUNS; run++)
  for (const [name, measure] of Object.entries(subjects)) samples.get(name)?.push(await measure());
await server.stop(1000);

const least = (name: string) => Math.min(...(samples.get(name) ?? []));
const round = (ms: number) => `${ms.toFixed(1).padStart(7)} ms`;
for (const [name, taken] of samples) {
  const median = taken.toSorted((a, b) => a - b)[Math.floor(taken.length / 2)] ?? Number.NaN;
  console.log(`${name.padEnd(28)} least ${round(least(name))}   median ${round(median)}`);
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
