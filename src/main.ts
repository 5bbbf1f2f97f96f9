import { readFileSync } from 'node:fs';

/**
 * The executable: the command line, with the broker behind it. What a command needs is loaded when it runs, so that
 * the others start fast. The composition of a broker is in serve.ts.
 */

declare const HALLPASS_VERSION: string | undefined;

const version = typeof HALLPASS_VERSION === 'string' ? HALLPASS_VERSION : versionOfSources();

const args = process.argv.slice(2);

// Asked by scripts, again and again: it needs nothing else.
if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) process.stdout.write(`${version}\n`);
else process.exitCode = await run();

async function run(): Promise<number> {
  const [{ processIo }, { runProgram }] = await Promise.all([
    import('./cli/io.ts'),
    import('./cli/program.ts'),
  ]);
  const io = processIo();
  return runProgram(args, {
    io,
    version,
    serve: async (options) => (await import('./serve.ts')).serveCommand(options.config, version),
    archive: async (options) => (await import('./archive.ts')).archiveCommand(options),
    rewrap: async (options) => (await import('./rewrap.ts')).rewrapCommand(options),
    kit: {
      seal: async (options) => (await import('./offline-seal.ts')).sealCommand(io, options),
      open: async (options, file, command) =>
        (await import('./offline-run.ts')).openOrSay(io, options, file, command, version),
      check: async (file, json) => (await import('./offline-run.ts')).checkCommand(io, file, json),
      finish: async (file) => (await import('./offline-run.ts')).finishCommand(io, file, version),
      replay: async (options, file) => (await import('./offline-replay.ts')).replayCommand(io, options, file),
    },
    check: async (options) => (await import('./check.ts')).checkCommand(options),
  });
}

function versionOfSources(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
