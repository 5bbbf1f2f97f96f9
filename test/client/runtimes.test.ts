import { webcrypto } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { createContext, Script } from 'node:vm';
import { build } from 'esbuild';
import { expect, it } from 'vitest';
import { fakeBorder } from '../fakes/border.ts';
import { seal } from '../fakes/seal.ts';

/** What a browser, a worker at the edge, Deno and Bun have besides the language. */
const WEB = {
  AbortController,
  AbortSignal,
  atob,
  btoa,
  clearTimeout,
  crypto,
  CryptoKey: webcrypto.CryptoKey,
  DOMException,
  Headers,
  Request,
  Response,
  setTimeout,
  structuredClone,
  TextDecoder,
  TextEncoder,
  Uint8Array,
  URL,
  URLSearchParams,
};

async function bundled(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('../../src/client/client.ts', import.meta.url))],
    bundle: true,
    write: false,
    format: 'iife',
    globalName: 'hallpass',
    // Fails on every import of Node's.
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['workerd', 'worker', 'browser'],
    target: 'es2022',
    logLevel: 'silent',
  });
  return outputFiles[0]?.text ?? '';
}

it('the client needs the web and nothing else: it opens, keeps and completes a task without Node', async () => {
  const code = await bundled();
  expect(code).not.toMatch(/\b(require\(|process\.|Buffer\.)/);
  const border = fakeBorder({ seal, heartbeatSeconds: 30 });
  const context = createContext({
    ...WEB,
    fetch: (input: URL, init: RequestInit) => border.app.request(new Request(input, init)),
    token: border.verbs.admit('job'),
  });
  const script = `${code}
    (async () => {
      const client = hallpass.createClient({ url: 'http://127.0.0.1:1/', token: async () => token });
      const task = await client.openTask({ grant: 'reports', task: 'nightly-1' });
      const kept = hallpass.keepTask(task);
      const { username, password } = task.credentials[0].secret.values;
      await kept.stop();
      await task.complete(0);
      const again = await client.openTask({ grant: 'nobody', task: 'x' }).catch((error) => error);
      return { id: task.id, username, sealed: password.length, refused: again instanceof hallpass.HallpassProblem };
    })()`;
  const seen = await new Script(script).runInContext(context);
  const task = [...border.verbs.tasks.values()][0];
  expect(seen).toMatchObject({ id: task?.id, sealed: 24, refused: true });
  expect(task).toMatchObject({ state: 'ended', exitStatus: 0 });
  expect(task?.publicKey).not.toBeNull();
});
