import type { Logger } from 'pino';
import { type Checkpoint, parseCheckpoint } from '../audit/checkpoint.ts';
import { parseNote, parseSignatureLines, type VerifierKey, verifiedBy } from '../audit/note.ts';
import { rangeHash, tilesFor } from '../audit/tile.ts';
import { consistencyRanges } from '../audit/tree.ts';
import { createLoop, type Loop } from '../loop.ts';
import { type Runtime, withDeadline } from '../runtime.ts';
import type { Database } from '../store/database.ts';
import { readLogHead, readTiles, storeWitnessed } from '../store/log.ts';

/** How often the newest checkpoint is shown to the witnesses. */
const EVERY_MS = 10_000;
/** How long one of them may take. */
const ANSWER_MS = 10_000;

export interface Witness {
  /** The submission prefix, without a slash at its end. */
  readonly url: string;
  readonly key: VerifierKey;
}

export interface WitnessContext {
  readonly database: Database;
  readonly runtime: Runtime;
  readonly log: Logger;
  /** Called once for a witness that has seen more of the log than there is. */
  readonly wentBack: (what: string) => Promise<void>;
}

/**
 * Has the checkpoints of the log cosigned, by https://c2sp.org/tlog-witness: each witness vouches that the log only
 * ever grew. The log does not wait for them. `tick` shows them the newest checkpoint, and answers how many cosigned it.
 */
export function createWitnessing(
  { database, runtime, log, wentBack }: WitnessContext,
  witnesses: readonly Witness[],
): Loop {
  /** The size that each of them saw last, as far as this process knows. */
  const sizes = new Map<Witness, number>();
  const accusers = new Set<Witness>();
  let done = -1;

  async function tick(): Promise<number> {
    const note = (await readLogHead(database))?.checkpoint ?? null;
    const checkpoint = note === null ? null : parseCheckpoint(note);
    if (!checkpoint?.ok || checkpoint.value.size === done) return 0;
    const answers = await Promise.all(witnesses.map((witness) => ask(witness, checkpoint.value)));
    const lines = answers.filter((line) => line !== null);
    if (lines.length === 0) return 0;
    await storeWitnessed(database, `${checkpoint.value.text}${lines.join('')}`);
    if (lines.length === witnesses.length) done = checkpoint.value.size;
    return lines.length;
  }

  async function ask(witness: Witness, checkpoint: Checkpoint): Promise<string | null> {
    try {
      return await withDeadline(runtime, ANSWER_MS, (signal) => submit(witness, checkpoint, signal));
    } catch (error) {
      log.warn({ witness: witness.key.name, err: error }, 'a witness did not cosign the audit log');
      return null;
    }
  }

  async function submit(witness: Witness, checkpoint: Checkpoint, signal: AbortSignal): Promise<string> {
    // A witness that has seen more, or less, than we know says so once.
    for (let again = true; ; again = false) {
      const old = Math.min(sizes.get(witness) ?? 0, checkpoint.size);
      const answer = await runtime.fetch(`${witness.url}/add-checkpoint`, {
        method: 'POST',
        body: await requestBody(old, checkpoint),
        redirect: 'error',
        signal,
      });
      const text = await answer.text();
      if (answer.ok) {
        const line = cosignatureIn(text, witness, checkpoint);
        sizes.set(witness, checkpoint.size);
        return line;
      }
      const size = answer.status === 409 && again ? /^(0|[1-9]\d{0,15})\n$/.exec(text)?.[1] : undefined;
      if (size === undefined) throw new Error(`It answered ${answer.status}`);
      if (Number(size) > checkpoint.size && (await isNewest(checkpoint))) {
        const what = `witness ${witness.key.name} has seen ${size} entries, and it has ${checkpoint.size}`;
        if (!accusers.has(witness)) await wentBack(what);
        accusers.add(witness);
        throw new Error(`Cannot cosign: ${what}`);
      }
      sizes.set(witness, Number(size));
    }
  }

  /** Another replica may have shown a larger one in the meantime. */
  async function isNewest({ size }: Checkpoint): Promise<boolean> {
    return (await readLogHead(database))?.size === size;
  }

  async function requestBody(old: number, { size, text }: Checkpoint): Promise<string> {
    const ranges = consistencyRanges(old, size);
    const tiles = await readTiles(database, tilesFor(ranges, size));
    const stored = new Map(tiles.map(({ level, n, hashes }) => [`${level}/${n}`, hashes]));
    const proof = ranges.map((range) => rangeHash(range, (level, n) => stored.get(`${level}/${n}`)));
    return [`old ${old}`, ...proof.map((hash) => Buffer.from(hash).toString('base64')), '', text].join('\n');
  }

  const pace = { busyMs: EVERY_MS, idleMs: EVERY_MS, retryMs: () => EVERY_MS };
  return createLoop(runtime, pace, tick, (error) =>
    log.warn({ err: error }, 'cannot have the audit log witnessed'),
  );
}

/** The lines of the witness's own key, when they are good; all others are left. */
function cosignatureIn(text: string, { key }: Witness, checkpoint: Checkpoint): string {
  const own = (parseSignatureLines(text) ?? []).filter(({ name, id }) => name === key.name && id === key.id);
  const lines = own.map(({ line }) => line).join('');
  const note = parseNote(`${checkpoint.note.text}\n${lines}`);
  const good = note.ok ? verifiedBy(note.value, [key]) : note;
  if (good.ok && good.value.length > 0) return lines;
  throw new Error('Its signature is not good');
}
