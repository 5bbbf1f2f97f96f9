import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Sink } from './sink.ts';

export interface FileSinkSettings {
  readonly path: string;
  /** A file that is as large is put aside: `path.1` is the latest of those. */
  readonly maxBytes: number;
  /** How many are kept aside; older ones are removed. */
  readonly keep: number;
}

/** OCSF as JSON lines in a file, on the disk before it counts as delivered. */
export function fileSink({ path, maxBytes, keep }: FileSinkSettings): Sink {
  async function rotate(): Promise<void> {
    const size = (await stat(path).catch(() => null))?.size ?? 0;
    if (size < maxBytes) return;
    if (keep === 0) return rm(path);
    // A crash in the midst of this leaves a gap: what lies beyond it has been moved already, and stays.
    let last = 1;
    while (last < keep && (await exists(`${path}.${last}`))) last++;
    for (let i = last - 1; i >= 1; i--) await rename(`${path}.${i}`, `${path}.${i + 1}`);
    await rename(path, `${path}.1`);
  }

  return {
    async deliver(entries) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await rotate();
      const file = await open(path, 'a+', 0o600);
      try {
        // A line that was cut off by a crash ends here; its entry comes again.
        const before = (await endsMidway(file)) ? '\n' : '';
        await file.appendFile(`${before}${entries.map(({ ocsf }) => `${JSON.stringify(ocsf)}\n`).join('')}`);
        await file.datasync();
      } finally {
        await file.close();
      }
    },
  };
}

async function endsMidway(file: Awaited<ReturnType<typeof open>>): Promise<boolean> {
  const { size } = await file.stat();
  if (size === 0) return false;
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer[0] !== 0x0a;
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
