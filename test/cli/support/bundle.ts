import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** The command line as a program that starts as quickly as the built one. */
export interface Bundle extends AsyncDisposable {
  readonly file: string;
  readonly folder: string;
}

export async function bundleHallpass(): Promise<Bundle> {
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-bundle-'));
  await build({
    entryPoints: { hallpass: fileURLToPath(new URL('./hallpass.ts', import.meta.url)) },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    banner: {
      js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
    },
    logLevel: 'error',
  });
  return {
    folder,
    file: join(folder, 'hallpass.mjs'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
