import { generateKeyPairSync } from 'node:crypto';
import pino from 'pino';
import type { NewEvent } from '../../src/audit/event.ts';
import { type SignerKey, signerKey } from '../../src/audit/note.ts';
import type { LogSource } from '../../src/audit/verify.ts';
import type { Broker } from '../../src/broker/broker.ts';
import { createLogVerbs } from '../../src/broker/log.ts';
import type { Runtime } from '../../src/runtime.ts';
import { type LogMemory, passingMemory } from '../../src/sequencer/memory.ts';
import { createSequencer, type Sequencer } from '../../src/sequencer/sequencer.ts';
import { createCommitter } from '../../src/store/commit.ts';
import type { Database, Statement } from '../../src/store/database.ts';
import { openLog } from '../../src/store/log.ts';

export const ORIGIN = 'broker.test/audit/log';

export const silent = pino({ level: 'silent' });

export function newSigner(origin = ORIGIN): SignerKey {
  return signerKey(origin, generateKeyPairSync('ed25519').privateKey);
}

/** A log over a database, with a sequencer by hand. */
export async function openTestLog(
  database: Database,
  runtime: Runtime,
  {
    signer = newSigner(),
    holder = 'one',
    memory = passingMemory(),
  }: { signer?: SignerKey; holder?: string; memory?: LogMemory } = {},
): Promise<{ readonly signer: SignerKey; readonly sequencer: Sequencer; sequence(): Promise<number> }> {
  await openLog(database, ORIGIN);
  const sequencer = createSequencer({
    database,
    runtime,
    log: silent,
    origin: ORIGIN,
    signers: [signer],
    holder,
    memory,
    report: (event) => createCommitter(database, runtime).commit({ events: [event] }),
  });
  return {
    signer,
    sequencer,
    async sequence() {
      let all = 0;
      for (let count = 1; count > 0; all += count) count = await sequencer.tick();
      return all;
    },
  };
}

/** The log of a store, as its verifier reads it. */
export function storedLog(database: Database): LogSource {
  const { tile, checkpoint } = createLogVerbs({ database } as Broker, true);
  return {
    hasHashes: true,
    checkpoint: async () => (await checkpoint()) ?? '',
    async tile(wanted) {
      const content = await tile(null, wanted);
      return content.ok ? content.value : null;
    },
  };
}

/** An event that says nothing in particular. */
export function noted(what = 'test'): NewEvent {
  return { kind: 'disclosed', actor: { kind: 'system' }, about: {}, data: { what, filter: {} } };
}

/** A database whose statements call `fault` before and after: it may throw, and so kill whoever asked. */
export function faulty(
  database: Database,
  fault: (statement: Statement, phase: 'before' | 'after') => void,
): Database {
  return {
    ...database,
    async query<Row>(statement: Statement, parameters: readonly unknown[]) {
      fault(statement, 'before');
      const rows = await database.query<Row>(statement, parameters);
      fault(statement, 'after');
      return rows;
    },
  };
}
