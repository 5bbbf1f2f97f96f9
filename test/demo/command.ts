import { processIo } from '../../src/cli/io.ts';
import { runProgram } from '../../src/cli/program.ts';
import type { Identity, World } from './world.ts';

/** What a command line came to. */
export interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
  /** When it first said something beside its output: `performance.now()`. */
  readonly saidAt: number | null;
}

/** Runs a `hallpass` command in this process, as somebody: without the second that a process takes to start. */
export async function hallpass(world: World, who: Identity, ...args: readonly string[]): Promise<Ran> {
  let out = '';
  let err = '';
  let saidAt: number | null = null;
  const io = {
    ...processIo(),
    env: {
      HOME: world.folder,
      XDG_STATE_HOME: world.folder,
      HALLPASS_URL: world.url,
      HALLPASS_TOKEN: await world.tokenFor(who),
    },
    stderrIsTty: false,
    out(text: string) {
      out += text;
    },
    err(text: string) {
      saidAt ??= performance.now();
      err += text;
    },
  };
  const none = async () => 2;
  const status = await runProgram(args, { io, version: 'demo', serve: none, check: none });
  return { status, out, err, saidAt };
}
