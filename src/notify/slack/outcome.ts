import type { Actor, AuditEvent } from '../../audit/event.ts';
import { who } from '../notice.ts';
import { codeSpan } from '../text.ts';
import type { SlackUser } from './desk.ts';

/** What a request has come to, as its message says it. */
export interface RequestOutcome {
  readonly request: string;
  /** Safe to show: what comes from outside is in a code span. */
  readonly text: string;
  /** Whether nothing of it waits any more. */
  readonly isFinal: boolean;
}

/** The kinds of events that say what a request has come to. */
export const OUTCOMES: ReadonlySet<AuditEvent['kind']> = new Set([
  'request.approved',
  'request.auto-approved',
  'request.denied',
  'request.cancelled',
  'request.expired',
]);

/** Null for events of other kinds. */
export function outcomeOf(event: AuditEvent, users: ReadonlyMap<string, SlackUser>): RequestOutcome | null {
  const by = `by ${mentionOf(event.actor, users)}`;
  switch (event.kind) {
    case 'request.approved':
    case 'request.auto-approved': {
      const { id, complete } = event.data;
      const giver = event.kind === 'request.approved' ? by : 'by a condition of its grant';
      const text = `${complete ? 'It is approved' : 'One more approval; more are needed'}, ${giver}`;
      return { request: id, text, isFinal: complete };
    }
    case 'request.denied':
      return { request: event.data.id, text: `It is denied, ${by}`, isFinal: true };
    case 'request.cancelled':
      return { request: event.data.id, text: `It is cancelled, ${by}`, isFinal: true };
    case 'request.expired':
      return { request: event.data.id, text: 'It has expired', isFinal: true };
    default:
      return null;
  }
}

/** Somebody as Slack knows him, where the configuration says who that is and nobody stands between. */
function mentionOf(actor: Actor, users: ReadonlyMap<string, SlackUser>): string {
  if (actor.kind !== 'system' && actor.actors === undefined)
    for (const [id, { issuer, subject }] of users)
      if (issuer === actor.issuer && subject === actor.subject) return `<@${id}>`;
  return codeSpan(who(actor), 200).text;
}
