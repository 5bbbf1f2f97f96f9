import type { Runtime } from '../runtime.ts';
import { post, signatureOf } from './post.ts';
import type { Sink } from './sink.ts';

export interface HttpsSinkSettings {
  readonly url: string;
  /** Signs each request. */
  readonly secret: string;
}

/**
 * OCSF as JSON lines, posted and signed in `Hallpass-Signature`; the `Idempotency-Key` names the entries, so that a
 * receiver can tell a repetition. Any 2xx counts as received.
 */
export function httpsSink({ url, secret }: HttpsSinkSettings, runtime: Runtime): Sink {
  return {
    async deliver(entries, signal) {
      const body = entries.map(({ ocsf }) => `${JSON.stringify(ocsf)}\n`).join('');
      const headers = {
        'content-type': 'application/x-ndjson',
        'hallpass-signature': signatureOf(body, secret, runtime.now()),
        'idempotency-key': `${entries[0]?.index}-${entries.at(-1)?.index}`,
      };
      await post(runtime, url, { headers, body }, signal);
    },
  };
}
