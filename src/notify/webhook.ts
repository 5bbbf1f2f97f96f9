import { post, signatureOf } from '../export/post.ts';
import type { Runtime } from '../runtime.ts';
import type { Channel } from './channel.ts';

export interface WebhookSettings {
  readonly url: string;
  /** Signs each request. */
  readonly secret: string;
}

/**
 * JSON, posted and signed in `Hallpass-Signature` as the export over HTTPS is. `Idempotency-Key` is the event's id, by
 * which a receiver knows what it has had. Any 2xx counts as received.
 */
export function webhookChannel({ url, secret }: WebhookSettings, runtime: Runtime): Channel {
  return {
    async send({ id, kind, at, title, link }, { actor, about, data }, signal) {
      const body = JSON.stringify({ id, kind, at, title, link, actor, about, data });
      const headers = {
        'content-type': 'application/json',
        'hallpass-signature': signatureOf(body, secret, runtime.now()),
        'idempotency-key': id,
      };
      await post(runtime, url, { headers, body }, signal);
    },
  };
}
