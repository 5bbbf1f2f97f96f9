import { readFileSync } from 'node:fs';
import { processIo } from './cli/io.ts';
import { runProgram } from './cli/program.ts';

/**
 * The executable: the command line, with the broker behind it. What a command needs is loaded when it runs, so that
 * the others start fast. The composition of a broker is in serve.ts.
 */

declare const HALLPASS_VERSION: string | undefined;

const version = typeof HALLPASS_VERSION === 'string' ? HALLPASS_VERSION : versionOfSources();

process.exitCode = await runProgram(process.argv.slice(2), {
  io: processIo(),
  version,
  serve: async (options) => (await import('./serve.ts')).serveCommand(options.config, version),
  archive: async (options) => (await import('./archive.ts')).archiveCommand(options),
  rewrap: async (options) => (await import('./rewrap.ts')).rewrapCommand(options),
  check: async (options) => (await import('./check.ts')).checkCommand(options),
});

function versionOfSources(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
