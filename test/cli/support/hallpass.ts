/** The command line as a process of its own. */
import { processIo } from '../../../src/cli/io.ts';
import { runProgram } from '../../../src/cli/program.ts';

process.exitCode = await runProgram(process.argv.slice(2), {
  io: processIo(),
  version: '1.2.3',
  serve: async () => 0,
  check: async () => 0,
});
