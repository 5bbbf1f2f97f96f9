import { expect, test } from 'vitest';
import { runKeyCommand } from '../../src/issuer/key-command.ts';
import { createTestRuntime, until } from '../support/runtime.ts';

const node = (script: string) => [process.execPath, '-e', script];

test('runKeyCommand: answers what the program prints, and no shell reads its words', async () => {
  const runtime = createTestRuntime();
  const script = 'process.stdout.write(process.argv[1] + "\\n")';
  expect(await runKeyCommand([...node(script), '$HOME; `id`'], runtime)).toBe('$HOME; `id`\n');
});

test.each<[string, string[], string]>([
  ['is not there', ['/no/such/program'], '"/no/such/program" cannot be run (ENOENT)'],
  ['fails', node('process.stdout.write("key material"); process.exitCode = 3'), 'ended with 3'],
  [
    'is killed',
    node('process.kill(process.pid, "SIGTERM"); setInterval(() => {}, 1e6)'),
    'ended with SIGTERM',
  ],
  [
    'prints without end',
    node('for (;;) process.stdout.write("key material".repeat(1000))'),
    'more than 4096',
  ],
])(
  'runKeyCommand: a program that %s gives no key, and nothing of what it printed',
  async (_, command, why) => {
    const failure = await runKeyCommand(command, createTestRuntime()).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'config-invalid', message: expect.stringContaining(why) });
    expect(String(failure)).not.toContain('key material');
  },
);

test('runKeyCommand: a program that does not end is ended, also where its child holds the pipe', async () => {
  const runtime = createTestRuntime();
  const script =
    'const { spawn } = require("node:child_process"); ' +
    'spawn(process.execPath, ["-e", "setTimeout(() => {}, 5000)"], { stdio: "inherit" }); setInterval(() => {}, 1e6)';
  const running = runKeyCommand(node(script), runtime);
  const given = expect(running).rejects.toMatchObject({ message: expect.stringContaining('within 30 s') });
  await until(() => runtime.sleeping() === 1);
  await runtime.advance(30_000);
  await given;
});
