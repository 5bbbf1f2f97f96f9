import type { AuditEvent } from '../audit/event.ts';
import type { Consumer } from '../export/follower.ts';
import { post } from '../export/post.ts';
import { stepsFor } from '../export/select.ts';
import type { Issuer } from '../issuer/issuer.ts';
import type { Json } from '../json.ts';
import type { Runtime } from '../runtime.ts';
import { SESSION_REVOKED, SET_MEDIA_TYPE, SIGNAL_ISSUER_PREFIX } from './events.ts';

/** Somebody who is told what was revoked here. */
export interface Receiver {
  readonly name: string;
  readonly url: string;
  /** `aud` of what he is sent. */
  readonly audience: string;
  /** The `Authorization` header. */
  readonly authorization: string | null;
}

export interface SendContext {
  readonly runtime: Runtime;
  readonly issuer: Pick<Issuer, 'securityEvent'>;
  /** The URLs of our issuers, by their names; those without one are left out. */
  readonly issuerUrls: ReadonlyMap<string, string>;
}

/** How the cursors of receivers begin. */
export const RECEIVER_PREFIX = 'signal:';

/** A receiver as a reader of the log: each revocation as a token of its own, pushed (RFC 8935), in the log's order. */
export function receiverConsumer(
  { runtime, issuer, issuerUrls }: SendContext,
  { name, url, audience, authorization }: Receiver,
): Consumer {
  const cursor = `${RECEIVER_PREFIX}${name}`;
  return {
    cursor,
    from: 'end',
    steps: (entries) =>
      stepsFor(entries, (event) => {
        const revoked = revocationOf(event, issuerUrls);
        if (revoked === null) return null;
        return {
          async send(signal) {
            const token = { id: event.id, audience, subject: revoked.subject, events: revoked.events };
            const headers = {
              'content-type': SET_MEDIA_TYPE,
              accept: 'application/json',
              ...(authorization === null ? {} : { authorization }),
            };
            await post(runtime, url, { headers, body: await issuer.securityEvent(token) }, signal);
          },
          givenUp: (refusals, detail) => ({
            kind: 'notification.failed',
            actor: { kind: 'system' },
            about: event.about,
            data: { channel: cursor, event: event.id, of: event.kind, refusals, detail },
          }),
        };
      }),
  };
}

/** Of a revocation only who, or which lease, and when: never why in the words of an operator, nor at what target. */
function revocationOf(
  event: AuditEvent,
  issuerUrls: ReadonlyMap<string, string>,
): { readonly subject: Json; readonly events: Readonly<Record<string, Json>> } | null {
  const subject =
    event.kind === 'kill.ordered'
      ? killedSubject(event, issuerUrls)
      : event.kind === 'lease.ended' && isWithdrawn(event.data.outcome)
        ? opaque(event.about.lease)
        : null;
  if (subject === null) return null;
  const event_timestamp = Math.floor(Date.parse(event.at) / 1000);
  const initiating_entity = event.actor.kind === 'principal' ? 'admin' : 'policy';
  return { subject, events: { [SESSION_REVOKED]: { event_timestamp, initiating_entity } } };
}

/** Withdrawn before its time. What lapsed by itself, or never was, is no revocation. */
function isWithdrawn(outcome: string): boolean {
  return outcome === 'revoked' || outcome === 'denied';
}

/** Whose kill it is, where it is of one subject and all that he holds. */
function killedSubject(
  { actor, data }: Extract<AuditEvent, { readonly kind: 'kill.ordered' }>,
  issuerUrls: ReadonlyMap<string, string>,
): Json | null {
  // What we were told by a signal we do not tell on: two who do would never stop.
  if (actor.kind === 'principal' && actor.issuer.startsWith(SIGNAL_ISSUER_PREFIX)) return null;
  const match = (data.match ?? {}) as Readonly<Record<string, unknown>>;
  const { issuer, subject, grant, target, task } = match;
  if (typeof issuer !== 'string' || typeof subject !== 'string') return null;
  if ([grant, target, task].some((member) => member !== null && member !== undefined)) return null;
  const iss = issuerUrls.get(issuer);
  return iss === undefined ? opaque(`${issuer}:${subject}`) : { format: 'iss_sub', iss, sub: subject };
}

function opaque(id: string | undefined): Json | null {
  return id === undefined ? null : { format: 'opaque', id };
}
