import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { readConfig } from '../src/check.ts';
import { systemRuntime } from '../src/runtime.ts';
import { startBroker } from '../src/serve.ts';

async function start(port: number, stateDirectory?: string) {
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-serve-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'hallpass.yaml');
  const address = `127.0.0.1:${port}`;
  const state = stateDirectory ?? join(folder, 'state');
  await writeFile(
    path,
    `broker: { url: "http://${address}", listen: "${address}", state_directory: "${state}" }\n`,
  );
  const config = await readConfig(path);
  return startBroker(config!, systemRuntime, pino({ level: 'silent' }), '1.2.3');
}

test('startBroker: says what to do about an address that another process has', async () => {
  const other = createServer();
  const port = await new Promise<number>((resolve) =>
    other.listen(0, '127.0.0.1', () => resolve((other.address() as { port: number }).port)),
  );
  onTestFinished(() => void other.close());
  await expect(start(port)).rejects.toMatchObject({
    code: 'config-invalid',
    message: `Cannot listen on 127.0.0.1:${port}: another process listens there; stop it, or write another broker.listen`,
  });
}, 60_000);

test('startBroker: says what to do about a state directory that cannot be written', async () => {
  await expect(start(7420, '/dev/null/state')).rejects.toMatchObject({
    code: 'config-invalid',
    message: expect.stringMatching(
      /^Cannot keep the state in "\/dev\/null\/state": writing there fails with ENOTDIR; give .* broker\.state_directory, or set DATABASE_URL/,
    ),
  });
});
