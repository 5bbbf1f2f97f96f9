import { spawn } from 'node:child_process';
import { HallpassError } from '../errors.ts';
import { type Runtime, withDeadline } from '../runtime.ts';
import { KEY_COMMAND_TIMEOUT_MS, MAX_KEY_COMMAND_BYTES } from './limits.ts';

/**
 * What a program prints, for instance `systemd-creds`, `pass` or the command line of a key management service. No shell
 * reads the words; what the program says on standard error goes to ours. Throws `config-invalid`, never with what it
 * printed.
 */
export async function runKeyCommand(command: readonly string[], runtime: Runtime): Promise<string> {
  const [program = '', ...args] = command;
  const refused = (why: string) =>
    new HallpassError('config-invalid', `Cannot use the master key of keys.master_key_command: ${why}`);
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], windowsHide: true });
  const chunks: Buffer[] = [];
  let size = 0;
  const ended = new Promise<string>((resolve, reject) => {
    child.on('error', (error) =>
      reject(refused(`"${program}" cannot be run (${'code' in error ? error.code : 'unknown'})`)),
    );
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      chunks.push(chunk);
      if (size > MAX_KEY_COMMAND_BYTES)
        reject(refused(`"${program}" prints more than ${MAX_KEY_COMMAND_BYTES} bytes`));
    });
    child.on('close', (code, signal) =>
      code === 0
        ? resolve(Buffer.concat(chunks).toString('latin1'))
        : reject(refused(`"${program}" ended with ${signal ?? code}`)),
    );
  });
  ended.catch(() => {});
  try {
    return await withDeadline(runtime, KEY_COMMAND_TIMEOUT_MS, () => ended);
  } catch (error) {
    if (!(error instanceof HallpassError && error.code === 'timeout')) throw error;
    throw refused(`"${program}" does not end within ${KEY_COMMAND_TIMEOUT_MS / 1000} s`);
  } finally {
    child.kill('SIGKILL');
    // What it started may hold the pipe open for ever.
    child.stdout.destroy();
  }
}
