import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');

/** Runs these suites in a process and a folder of their own, as `npm test` would. */
async function runSuites(suites: Readonly<Record<string, string>>, ...options: string[]) {
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-reporter-'));
  try {
    for (const [name, source] of Object.entries(suites)) await writeFile(join(folder, name), source);
    const reporter = join(ROOT, 'test/summary-reporter.ts');
    const child = spawn(
      process.execPath,
      [
        join(ROOT, 'node_modules/vitest/vitest.mjs'),
        'run',
        '--root',
        folder,
        '--globals',
        '--maxWorkers',
        '1',
      ]
        .concat(['--reporter', 'default', '--reporter', reporter])
        .concat(options),
      { stdio: ['ignore', 'pipe', 'pipe'], env: cleanEnvironment() },
    );
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const [stdout] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { stdout, lastLine: stdout.trimEnd().split('\n').at(-1), status: await exited };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Without what the run around this one has set. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(VITEST|VITE|TEST|NODE_ENV)/.test(name));
  return { ...Object.fromEntries(own), NO_COLOR: '1' };
}

describe('SummaryReporter: the last line', () => {
  it('counts what passed, failed and was skipped, and gives the reasons', { timeout: 60_000 }, async () => {
    const { stdout, lastLine, status } = await runSuites({
      'a.test.ts': `
        it('passes', () => {});
        it('passes too', () => {});
        it('fails', () => { throw new Error('as it must'); });
        it('has no server', (ctx) => { ctx.skip('needs PostgreSQL 15 (Debian postgresql)'); });
        describe.skip('off', () => { it('says nothing', () => {}); });
        it.todo('later');`,
      'b.test.ts': `it('has none either', (ctx) => { ctx.skip('needs PostgreSQL 15 (Debian postgresql)'); });`,
    });
    expect(stdout).toContain(
      [
        'Skipped, and why:',
        '  needs PostgreSQL 15 (Debian postgresql): 2 tests',
        '    a.test.ts: 1 test',
        '    b.test.ts: 1 test',
        '  no reason given: 1 test',
        '    a.test.ts: 1 test',
        '  still to be written (todo): 1 test',
        '    a.test.ts: 1 test',
      ].join('\n'),
    );
    expect(lastLine).toBe('2 passed, 1 failed, 4 skipped');
    expect(status).toBe(1);
  });

  it('is alone when everything passes', { timeout: 60_000 }, async () => {
    const { stdout, lastLine, status } = await runSuites({ 'a.test.ts': "it('passes', () => {});" });
    expect(stdout).not.toContain('Skipped');
    expect(lastLine).toBe('1 passed, 0 failed, 0 skipped');
    expect(status).toBe(0);
  });

  it.each([
    ['a file that cannot be loaded', "throw new Error('cannot load');", '0 passed, 1 failed, 0 skipped'],
    ['a file that cannot be parsed', 'it(', '0 passed, 1 failed, 0 skipped'],
    [
      'a hook that throws',
      "describe('s', () => { beforeAll(() => { throw new Error('hook'); }); it('never runs', () => {}); });",
      '0 passed, 1 failed, 1 skipped',
    ],
    [
      'a hook that throws when all is done',
      "afterAll(() => { throw new Error('hook'); }); it('passes', () => {});",
      '1 passed, 1 failed, 0 skipped',
    ],
    [
      'an error that nobody caught',
      "it('passes', () => { Promise.reject(new Error('lost')); });",
      '1 passed, 1 failed, 0 skipped',
    ],
    [
      'a process that dies',
      "it('dies', () => { process.kill(process.pid, 'SIGKILL'); });",
      /^0 passed, [1-9]\d* failed, 0 skipped$/,
    ],
  ])('counts as failed: %s', { timeout: 60_000 }, async (_, source, expected) => {
    const { lastLine, status } = await runSuites({ 'a.test.ts': source });
    expect(lastLine).toMatch(expected);
    expect(status).toBe(1);
  });

  it('counts a run that finds no test as failed', { timeout: 60_000 }, async () => {
    const { lastLine, status } = await runSuites({});
    expect(lastLine).toBe('0 passed, 1 failed, 0 skipped');
    expect(status).toBe(1);
  });
});
