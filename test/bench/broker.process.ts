import { readFile } from 'node:fs/promises';
import pino from 'pino';
import { readFileFromDisk } from '../../src/config/files.ts';
import { loadConfig } from '../../src/config/load.ts';
import { attestorKinds, providerKinds } from '../../src/kinds.ts';
import type { ProviderKind } from '../../src/providers/provider.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { startBroker } from '../../src/serve.ts';
import { fakeProvider } from '../fakes/provider.ts';

/** A whole broker as `hallpass serve` makes it, with an in-process target of kind `memory` besides the real ones. */
const [path = ''] = process.argv.slice(2);
const memory = fakeProvider({ now: Date.now });
// The world keeps every secret for tests that look for them; here it would only grow.
memory.minted.push = () => 0;
memory.calls.push = () => 0;
const config = await loadConfig({
  path,
  env: {},
  readFile: readFileFromDisk,
  attestors: attestorKinds,
  providers: { ...providerKinds, memory: async () => memory.provider as ProviderKind },
});
if (!config.ok) throw new Error(JSON.stringify(config.error, null, 2));
const log = pino({ level: 'warn' });
const running = await startBroker(config.value, systemRuntime, log, 'bench');
process.on('message', async (message) => {
  if (message === 'memory')
    process.send?.({
      rss: process.memoryUsage.rss(),
      status: await readFile('/proc/self/status', 'utf8').catch(() => ''),
    });
});
process.once('SIGTERM', async () => {
  await running.stop();
  process.disconnect?.();
});
// Whoever measures has gone: what he does not end would stay.
process.once('disconnect', () => process.exit());
process.send?.({ url: running.url });
