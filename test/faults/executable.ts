import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Bundles the executable as `npm run build` does, into a folder that looks like an installed package. Answers its path. */
export async function bundleExecutable(folder: string): Promise<string> {
  const dist = join(folder, 'dist');
  await mkdir(dist, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  for (const shared of ['migrations', 'node_modules'])
    await symlink(join(ROOT, shared), join(folder, shared));
  await build({
    absWorkingDir: ROOT,
    entryPoints: { hallpass: 'src/main.ts' },
    outdir: dist,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    packages: 'external',
    define: { HALLPASS_VERSION: '"test"' },
    logLevel: 'error',
  });
  return join(dist, 'hallpass.js');
}
