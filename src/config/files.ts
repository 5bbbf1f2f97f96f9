import { open } from 'node:fs/promises';

interface FileContent {
  readonly bytes: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
}

/** Reads at most `maxBytes` and one more, so that the caller can tell that there is more. */
export type ReadFile = (path: string, maxBytes: number) => Promise<FileContent>;

export const readFileFromDisk: ReadFile = async (path, maxBytes) => {
  const file = await open(path, 'r');
  try {
    const { mode } = await file.stat();
    const buffer = new Uint8Array(maxBytes + 1);
    let size = 0;
    while (size < buffer.length) {
      const { bytesRead } = await file.read(buffer, size, buffer.length - size);
      if (bytesRead === 0) break;
      size += bytesRead;
    }
    return { bytes: buffer.slice(0, size), mode: mode & 0o777 };
  } finally {
    await file.close();
  }
};

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'the broker may not read it',
  EPERM: 'the broker may not read it',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its path is no directory',
  ELOOP: 'it is a link that leads nowhere',
  ENAMETOOLONG: 'its name is too long',
};

/** Why a file could not be read, without the path, which the caller has. */
export function readFault(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return REASONS[code] ?? `reading failed${code === '' ? '' : ` with ${code}`}`;
}
