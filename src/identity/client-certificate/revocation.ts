import { err, ok, type Result } from '../../result.ts';
import type { Runtime } from '../../runtime.ts';
import { readChangingFile } from '../files.ts';
import { refreshedSource, type Source } from '../jwt/refreshed.ts';
import type { ChainFault, Path } from '../x509/path.ts';
import { type RevocationList, readRevocationLists } from '../x509/revocation-list.ts';

/** Whoever puts a new list there expects it to be heeded soon. */
const LISTS_FRESH_MS = 30_000;

/** The lists of all files, read anew as they change. */
export function createListSource(
  paths: readonly string[],
  runtime: Runtime,
): Source<readonly RevocationList[]> {
  return refreshedSource(runtime, async () => {
    const lists: RevocationList[] = [];
    for (const path of paths) {
      const read = await readLists(path);
      if (!read.ok) return err(`Cannot use the revocation list "${path}": ${read.error}`);
      lists.push(...read.value);
    }
    const content = lists.map(({ issuerName, thisUpdate }) => `${issuerName} ${thisUpdate}`);
    return ok({ value: lists, content, freshMs: LISTS_FRESH_MS });
  });
}

async function readLists(path: string): Promise<Result<readonly RevocationList[], string>> {
  const file = await readChangingFile(path);
  return file.ok ? readRevocationLists(file.value) : file;
}

/**
 * Why a path is not to be trusted any more: a certificate on it was withdrawn, or nobody can say that it was not. Each
 * authority on the path must have a list of its own that is current at `now`; of several the newest counts.
 */
export function revocationFault(
  path: Path,
  lists: readonly RevocationList[],
  now: number,
): ChainFault | null {
  for (const [i, authority] of path.slice(1).entries()) {
    const subject = path[i];
    const [list] = lists
      .filter(({ issuerName, thisUpdate }) => issuerName === authority.subjectName && thisUpdate <= now)
      .filter((one) => one.isSignedBy(authority))
      .sort((a, b) => b.thisUpdate - a.thisUpdate);
    if (list === undefined || now > list.nextUpdate) {
      const detail =
        list === undefined
          ? 'An authority of the chain has no revocation list here'
          : `A revocation list of the chain was to be replaced by ${new Date(list.nextUpdate).toISOString()}`;
      return { reason: 'keys-unavailable', detail };
    }
    if (subject !== undefined && list.serials.has(subject.serial))
      return {
        reason: 'revoked',
        detail: 'A certificate of the chain is on the revocation list of its authority',
      };
  }
  return null;
}
