import { createHmac } from 'node:crypto';
import type { Runtime } from '../runtime.ts';
import { type Sink, SinkError } from './sink.ts';

export interface HttpsSinkSettings {
  readonly url: string;
  /** Signs each request. */
  readonly secret: string;
}

/**
 * OCSF as JSON lines, posted. `Hallpass-Signature: t=SECONDS,v1=HEX` is the HMAC-SHA-256 of `SECONDS.BODY`; the
 * `Idempotency-Key` names the entries, so that a receiver can tell a repetition. Any 2xx counts as received.
 */
export function httpsSink({ url, secret }: HttpsSinkSettings, { fetch, now }: Runtime): Sink {
  return {
    async deliver(entries, signal) {
      const body = entries.map(({ ocsf }) => `${JSON.stringify(ocsf)}\n`).join('');
      const seconds = Math.floor(now() / 1000);
      const mac = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
      const answer = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-ndjson',
          'hallpass-signature': `t=${seconds},v1=${mac}`,
          'idempotency-key': `${entries[0]?.index}-${entries.at(-1)?.index}`,
        },
        body,
        redirect: 'error',
        signal,
      });
      await answer.body?.cancel();
      if (!answer.ok) throw new SinkError(`It answered ${answer.status}`);
    },
  };
}
