import type { Logger } from 'pino';
import { introduce } from '../audit/introduction.ts';
import { signerKey } from '../audit/note.ts';
import { newId, type Runtime } from '../runtime.ts';
import type { Committer } from '../store/commit.ts';
import type { Database } from '../store/database.ts';
import { addLogKey, logKeys, openLog } from '../store/log.ts';
import { readLogKeys } from './log-key.ts';
import { openLogMemory, readLogMemory } from './memory.ts';
import { createSequencer, type Sequencer } from './sequencer.ts';

export interface LogSettings {
  /** The broker's URL: the log is named after the first that it had. */
  readonly url: string;
  /** PEM of the keys that replicas share; null: one of this process's own. */
  readonly logKey: string | null;
  readonly stateDirectory: string;
}

/**
 * Opens the log for a broker that starts: its partitions, its name, and the keys that sign it. Null when the log has
 * keys and none of them is here: this replica then serves the log, and leaves it to others to grow it.
 */
export async function startSequencer(
  {
    database,
    runtime,
    log,
    committer,
  }: {
    readonly database: Database;
    readonly runtime: Runtime;
    readonly log: Logger;
    readonly committer: Committer;
  },
  settings: LogSettings,
): Promise<Sequencer | null> {
  const origin = await openLog(database, logName(settings.url));
  const known = await logKeys(database);
  const signers = readLogKeys(settings.logKey, settings.stateDirectory).map((key) => signerKey(origin, key));
  const strange = signers.filter(({ verifier }) => !known.includes(verifier.text));
  if (known.length > 0 && strange.length === signers.length && settings.logKey === null) {
    log.error(
      { known },
      'this process has no key of the audit log and does not sequence it: give all replicas the same audit.log_key_file',
    );
    return null;
  }
  const before = signers.filter((signer) => !strange.includes(signer));
  for (const { verifier } of strange) {
    const introduction = before.length === 0 ? {} : { introduction: introduce(verifier, before) };
    await addLogKey(database, runtime, { key: verifier.text, ...introduction });
  }
  const sequencer = createSequencer({
    database,
    runtime,
    log,
    origin,
    signers,
    // An embedded store is held by one process at a time: it goes on under the claim of the one that died before it.
    holder: database.kind === 'pglite' ? 'embedded' : newId(runtime),
    memory: openLogMemory(settings.stateDirectory, origin, runtime),
    report: (event) => committer.commit({ events: [event] }),
  });
  // The first look replaces it. Whoever reuses a state directory knows why it says so.
  const other = readLogMemory(settings.stateDirectory);
  if (other !== null && other.origin !== origin)
    await sequencer.suspect(
      `this broker remembers ${other.size} entries of the log "${other.origin}", and the store has the log "${origin}"`,
    );
  return sequencer;
}

/** A log's name is its address without the scheme, as C2SP tlog-tiles recommends. */
export function logName(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname.replace(/\/+$/, '')}/audit/log`;
}
