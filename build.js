// Bundles src/ into dist/hallpass.js and the chunks that it loads when they are wanted. Dependencies stay outside.
//
// Two things hold in the bundle as in the sources, and main.ts alone relies on them:
// - every file of dist/ lies directly in it, as main.ts lies directly in src/: the package's root, and with it
//   `migrations/`, is `new URL('..', import.meta.url)` in both. main.ts passes it on; nobody else may compute paths
//   from import.meta.url, because bundling moves code.
// - HALLPASS_VERSION is the version in package.json. It does not exist when the sources run unbuilt, so read it as
//   `typeof HALLPASS_VERSION === 'string' ? HALLPASS_VERSION : ...`.
//
// `import('./x.ts')` is a chunk of its own, loaded at that moment: this is how providers and commands stay out of the
// way of a quick start.
import { execFileSync } from 'node:child_process';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = new URL('.', import.meta.url);
const { version } = JSON.parse(await readFile(new URL('package.json', root), 'utf8'));

await rm(new URL('dist', root), { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: fileURLToPath(root),
  // One build for the executable and the kit: what a provider of others throws is then an error of ours.
  entryPoints: [
    { in: 'src/main.ts', out: 'hallpass' },
    { in: 'kit/provider.ts', out: 'provider' },
    { in: 'kit/conformance.ts', out: 'conformance' },
  ],
  outdir: 'dist',
  chunkNames: '[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  packages: 'external',
  define: { HALLPASS_VERSION: JSON.stringify(version) },
  metafile: true,
  logLevel: 'warning',
});
const executable = new URL('dist/hallpass.js', root);
await writeFile(executable, `#!/usr/bin/env node\n${await readFile(executable, 'utf8')}`);
await chmod(executable, 0o755);
// The kit's types, for those who write providers.
const compiler = fileURLToPath(new URL('node_modules/typescript/bin/tsc', root));
execFileSync(process.execPath, [compiler, '-p', fileURLToPath(new URL('tsconfig.kit.json', root))], {
  stdio: 'inherit',
});

const sizes = Object.values(metafile.outputs).map((output) => output.bytes);
const kilobytes = Math.ceil(sizes.reduce((sum, bytes) => sum + bytes, 0) / 1000);
console.log(`hallpass ${version}: dist/hallpass.js, ${kilobytes} kB in ${sizes.length} files`);
