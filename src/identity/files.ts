import { readFile, stat } from 'node:fs/promises';
import { err, ok, type Result } from '../result.ts';

/** Large enough for any bundle or revocation list that a memory should hold. */
const FILE_MAX_BYTES = 16_777_216;

/**
 * Reads a file that changes while the broker runs: a rotated token, a bundle, a revocation list. Never throws; the
 * error is a clause for the operator, without anything of the content.
 */
export async function readChangingFile(path: string): Promise<Result<Uint8Array, string>> {
  try {
    const { size } = await stat(path);
    if (size > FILE_MAX_BYTES) return err(`it has more than ${FILE_MAX_BYTES} bytes`);
    return ok(await readFile(path));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return err(`it cannot be read${code === undefined ? '' : ` (${code})`}`);
  }
}
