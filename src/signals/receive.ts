import type { Broker } from '../broker/broker.ts';
import { refuse } from '../broker/refuse.ts';
import type { Caller, Verbs } from '../broker/verbs.ts';
import { HallpassError } from '../errors.ts';
import { sha256 } from '../json.ts';
import { err, type Result } from '../result.ts';
import { withDeadline } from '../runtime.ts';
import { SIGNAL_ISSUER_PREFIX } from './events.ts';
import { readSet, type SetRefusal, type Signal, type Transmitter } from './set.ts';

/** Takes signals of others. */
export interface SignalDesk {
  /** Null: it was taken, and whatever it asks for is done, now or when it came before. */
  receive(token: string): Promise<SetRefusal | null>;
}

/** How long proving a token may take in all, fetching its transmitter's keys included. */
const READ_TIMEOUT_MS = 10_000;

/**
 * A signal becomes a kill of its subject, by the verb that operators use. That it came is remembered in the same
 * statement that orders the kill, so a signal that is sent again, after whatever crash, kills once and not never.
 */
export function createSignalDesk(
  broker: Broker,
  verbs: Pick<Verbs, 'kill'>,
  transmitters: readonly Transmitter[],
): SignalDesk {
  const { runtime } = broker;

  async function read(token: string): Promise<Result<Signal, SetRefusal>> {
    try {
      return await withDeadline(runtime, READ_TIMEOUT_MS, (signal) =>
        readSet(transmitters, token, runtime.now(), signal),
      );
    } catch (error) {
      if (!(error instanceof HallpassError && error.code === 'timeout')) throw error;
      return err({ err: 'unavailable', description: 'The keys could not be fetched in time' });
    }
  }

  return {
    async receive(token) {
      const signal = await read(token);
      if (!signal.ok) {
        const detail = `signal: ${signal.error.err}: ${signal.error.description}`;
        await refuse(broker, null, {}, 'signal', { reason: 'unauthenticated', detail }, sha256(token));
        return signal.error;
      }
      const { ends, transmitter } = signal.value;
      if (ends === null) return null;
      const killed = await verbs.kill(callerOf(signal.value, sha256(token)), {
        issuer: ends.issuer,
        subject: ends.subject,
        grant: null,
        target: null,
        task: null,
        all: false,
        reason: ends.why,
        blockSeconds: transmitter.blockSeconds,
      });
      // What came before was done before.
      if (killed.ok || killed.error.reason === 'unauthenticated') return null;
      if (killed.error.reason === 'invalid-request')
        return { err: 'invalid_request', description: killed.error.detail };
      return { err: 'unavailable', description: 'It cannot be done now' };
    },
  };
}

/** The transmitter as the one who orders. He can send nothing but signals, and a signal does nothing but this. */
function callerOf({ transmitter, id, until }: Signal, evidenceHash: string): Caller {
  return {
    kind: 'principal',
    principal: {
      issuer: `${SIGNAL_ISSUER_PREFIX}${transmitter.name}`,
      subject: transmitter.issuer,
      claims: {},
      proof: { method: 'signal', evidenceHash, expiresAt: until, singleUse: { id, until } },
    },
    roles: new Set(['operator']),
  };
}
