// Bundles src/ into dist/hallpass.js and the chunks that it loads when they are wanted.
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
import { execFile } from 'node:child_process';
import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';

const root = new URL('.', import.meta.url);
const { version, dependencies } = JSON.parse(await readFile(new URL('package.json', root), 'utf8'));

/** Every command line loads these: as one file each they start in a third of the time. All others stay outside. */
const INSIDE = ['commander', 'jose'];

await rm(new URL('dist', root), { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: fileURLToPath(root),
  // One build for the executable and the kit: what a provider of others throws is then an error of ours.
  entryPoints: [
    { in: 'src/main.ts', out: 'hallpass' },
    { in: 'src/kit.ts', out: 'provider' },
    { in: 'test/conformance/kit.ts', out: 'conformance' },
  ],
  outdir: 'dist',
  chunkNames: '[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  external: Object.keys(dependencies).filter((name) => !INSIDE.includes(name)),
  // What is inside and speaks CommonJS asks for Node's modules by require.
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
  define: { HALLPASS_VERSION: JSON.stringify(version) },
  metafile: true,
  logLevel: 'warning',
});
const executable = new URL('dist/hallpass.js', root);
await writeFile(executable, `#!/usr/bin/env node\n${await readFile(executable, 'utf8')}`);
await chmod(executable, 0o755);
// `hallpass/client`, for whichever runtime has the web's own interfaces.
const common = { absWorkingDir: fileURLToPath(root), bundle: true, format: 'esm', logLevel: 'warning' };
await build({
  ...common,
  entryPoints: { client: 'src/client/client.ts' },
  outdir: 'dist',
  platform: 'neutral',
  target: 'es2022',
  packages: 'external',
});
await emitTypes();

// The GitHub Action runs from its folder alone, so what it needs is inside.
await rm(new URL('deploy/ci/github-action/dist', root), { recursive: true, force: true });
await build({
  ...common,
  entryPoints: { main: 'src/cli/ci/github-main.ts', post: 'src/cli/ci/github-post.ts' },
  outdir: 'deploy/ci/github-action/dist',
  outExtension: { '.js': '.mjs' },
  platform: 'node',
  target: 'node20.19',
});

const sizes = Object.values(metafile.outputs).map((output) => output.bytes);
const kilobytes = Math.ceil(sizes.reduce((sum, bytes) => sum + bytes, 0) / 1000);
console.log(`hallpass ${version}: dist/hallpass.js, ${kilobytes} kB in ${sizes.length} files`);

/** The declarations of the client and the kit. The client's name each other by the sources' endings, which readers outside do not know. */
async function emitTypes() {
  const tsc = fileURLToPath(new URL('node_modules/typescript/bin/tsc', root));
  for (const project of ['tsconfig.client.json', 'tsconfig.kit.json']) {
    await promisify(execFile)(process.execPath, [tsc, '-p', project], { cwd: fileURLToPath(root) });
  }
  for (const folder of ['client/', 'http/']) {
    const place = new URL(`dist/types/${folder}`, root);
    for (const name of await readdir(place)) {
      const file = new URL(name, place);
      const text = await readFile(file, 'utf8');
      await writeFile(file, text.replace(/(from '\.{1,2}\/[^']+)\.ts'/g, "$1.js'"));
    }
  }
}
