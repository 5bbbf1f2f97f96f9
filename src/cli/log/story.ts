import type { Actor, AuditEvent, UseAtEnd } from '../../audit/event.ts';

/** An event in a sentence, for a person who reads what happened to a task. Text from outside is not cleaned here. */
export function sentence(event: AuditEvent): string {
  return event.about.practice === true ? `PRACTICE, ${toldOf(event)}` : toldOf(event);
}

function toldOf(event: AuditEvent): string {
  const on = event.about.target === undefined ? '' : ` at ${event.about.target}`;
  switch (event.kind) {
    case 'task.opened': {
      const { name, purpose, ticket, grantVersion, parameters } = event.data;
      const why = `${purpose === null ? '' : `, for "${purpose}"`}${ticket === undefined ? '' : `, ticket "${ticket}"`}`;
      return `${who(event.actor)} opened task "${name}" by grant ${event.about.grant} (${grantVersion.slice(0, 8)})${why}, with ${JSON.stringify(parameters)}`;
    }
    case 'task.extended':
      return `${who(event.actor)} asked for more: ${JSON.stringify(event.data.credentials)}`;
    case 'task.heartbeat-missed':
      return `the runner was not heard of by ${event.data.deadline}`;
    case 'task.ended':
      return `${who(event.actor)} ended the task: ${event.data.reason}${event.data.exitStatus === null ? '' : `, exit status ${event.data.exitStatus}`}`;
    case 'lease.intended':
      return `${short(event)} is to be made${on} as ${event.data.name}: "${event.data.credential}", until ${event.data.expiresAt}`;
    case 'lease.issued':
      return `${short(event)} was issued${event.data.sealed ? ', sealed' : ''}, until ${event.data.expiresAt}`;
    case 'lease.redelivered':
      return `${short(event)} was given again to a repeated request`;
    case 'lease.mint-failed':
      return `${short(event)} could not be made${on}: ${event.data.detail}${event.data.mayExist ? '; it may exist nevertheless' : ''}`;
    case 'lease.renewed':
      return `${who(event.actor)} renewed ${short(event)} until ${event.data.expiresAt}`;
    case 'lease.ending':
      return `${short(event)} begins to end: ${event.data.reason}${event.data.note === undefined ? '' : `, "${event.data.note}"`}, by ${who(event.actor)}`;
    case 'lease.end-failed':
      return `${short(event)} could not be ended${on} (attempt ${event.data.attempt}): ${event.data.detail}${event.data.overdue ? '; OVERDUE' : ''}`;
    case 'lease.ended':
      return `${short(event)} is ${event.data.outcome}: ${JSON.stringify(event.data.evidence)}${event.data.use === undefined ? '' : `; ${useSentence(event.data.use)}`}`;
    case 'credential.used':
      return `${short(event)} ${event.data.mayBeOf === undefined ? 'was' : `or another of ${event.data.mayBeOf} was`} seen in use${on}${from(event.data)}`;
    case 'request.refused':
      return `${who(event.actor)} was refused ${event.data.request}: ${event.data.reason}: ${event.data.detail}`;
    case 'orphan.found':
      return `a credential ${event.data.name} was found${on} without a live lease: ${event.data.why}`;
    case 'orphan.ended':
      return `the credential ${event.data.name} was ended${on}`;
    case 'task-grant.created':
      return `${who(event.actor)} cut task grant ${event.data.id}`;
    case 'kill.ordered':
      return `${who(event.actor)} ordered kill ${event.data.id}: "${event.data.reason}"`;
    case 'kill.marked':
      return `kill ${event.data.id} made ${event.data.leases} leases of ${event.data.tasks} tasks due`;
    case 'block.lifted':
      return `${who(event.actor)} lifted block ${event.data.id}: "${event.data.reason}"`;
    case 'request.created':
      return `${who(event.actor)} asked for approval, request ${event.data.id}`;
    case 'request.approved':
      return `${who(event.actor)} approved request ${event.data.id}${event.data.complete ? '' : '; it waits for more'}`;
    case 'request.auto-approved':
      return `request ${event.data.id} was approved by a condition: ${event.data.condition}${event.data.complete ? '' : '; it waits for more'}`;
    case 'request.denied':
    case 'request.cancelled':
      return `${who(event.actor)} ended request ${event.data.id}: "${event.data.reason}"`;
    case 'request.expired':
      return `request ${event.data.id} lapsed`;
    case 'request.redeemed':
      return `${who(event.actor)} used request ${event.data.id}${approvedBy(event.data.approvals)}`;
    case 'breakglass.opened': {
      const { practice, people, name, purpose, credentials, review } = event.data;
      return `${who(event.actor)}, ${people.join(', ')}, ${practice ? 'rehearsed breaking the glass' : 'BROKE THE GLASS'} for "${name}": "${purpose}", with ${JSON.stringify(credentials)}; review ${review}`;
    }
    case 'review.due':
      return `review ${event.data.id} is overdue: ${event.data.people.join(', ')} cannot break the glass again until it is closed`;
    case 'review.closed':
      return `${who(event.actor)} closed review ${event.data.id}: "${event.data.finding}"`;
    case 'fallback.opened':
      return `FALLBACK: ${event.data.issuer} is taken in the place of ${event.data.standsFor}, out of reach since ${event.data.failingSince}: ${event.data.detail}`;
    case 'fallback.closed':
      return `fallback: ${event.data.issuer} is refused again: ${event.data.reason}`;
    case 'fallback.used':
      return `FALLBACK: ${who(event.actor)} was let in for ${event.data.request}, while ${event.data.standsFor} was away`;
    case 'kit.sealed':
      return `${who(event.actor)} sealed kit ${event.data.id} for ${event.data.grants.join(', ')}: ${event.data.threshold} of ${event.data.holders.length} codes open it, until ${event.data.expiresAt}`;
    case 'offline.replayed':
      return `OFFLINE: entry ${event.data.index} of kit ${event.data.kit}: ${replayed(event.data.event)}`;
    case 'kit.code-reused':
      return `ALARM: the code of ${event.data.holder} opened kit ${event.data.kit} a second time (entry ${event.data.index} of ${event.data.log})`;
    case 'signin.succeeded':
      return `${who(event.actor)} signed in with a browser, until ${event.data.expiresAt}`;
    case 'signin.refused':
      return `a sign-in was refused: ${event.data.reason}: ${event.data.detail}`;
    case 'signin.ended':
      return `the session of ${who(event.actor)} ended: ${event.data.reason}`;
    case 'disclosed':
      return `${who(event.actor)} read ${event.data.what}`;
    case 'notification.failed':
      return `${event.data.channel} could not be told of ${event.data.of} (${event.data.event}): ${event.data.detail}`;
    case 'broker.started':
      return `the broker started, version ${event.data.version}`;
    case 'configuration.loaded':
      return `the configuration changed: ${[...event.data.added, ...event.data.changed, ...event.data.removed].join(', ')}`;
    case 'log.went-back':
      return `the log is not what it was, and is not signed on: ${event.data.what}`;
    case 'approval.weakened':
      return `APPROVAL WAS WEAKENED for grant ${event.about.grant}: ${event.data.how.join('; ')}`;
    case 'log.key-added':
      return `a key began to sign the log: ${event.data.key}`;
    default:
      // A newer broker may know kinds that this program does not.
      return (event satisfies never as AuditEvent).kind;
  }
}

/** What is known of a use, in words that claim no more. */
export function useSentence(use: UseAtEnd): string {
  switch (use.verdict) {
    case 'used':
    case 'maybe-used':
      return `${use.verdict === 'used' ? 'used' : 'perhaps used'}, first seen ${use.firstSeenAt}, last ${use.lastSeenAt}, from ${use.places}${use.more ? ' and more' : ''} ${use.places === 1 && !use.more ? 'place' : 'places'}`;
    case 'not-seen':
      return `not seen in use, looked every ${use.lookedEverySeconds} s`;
    case 'unknown':
      return `whether it was used is unknown: ${UNKNOWN[use.why]}`;
  }
}

const UNKNOWN = {
  'not-observed': 'its target shows no use',
  'observed-in-part': 'nobody looked for part of its life',
  'ended-in-parts': 'an earlier attempt to end it may have cut sessions',
};

function from({
  address,
  application,
  trail,
}: Extract<AuditEvent, { readonly kind: 'credential.used' }>['data']): string {
  const call = trail === undefined ? '' : `, ${trail.action}`;
  const refused = trail?.error == null ? '' : `, refused: ${trail.error}`;
  return `${call}${refused}${address === null ? '' : ` from ${address}`}${application ? ` by ${JSON.stringify(application)}` : ''}`;
}

/** What a broker replayed was whole when it came; if it was too long for the log, its digest is left of it. */
function replayed(event: unknown): string {
  const whole = typeof event === 'object' && event !== null && 'kind' in event && 'at' in event;
  return whole ? `${event.at}, ${sentence(event as unknown as AuditEvent)}` : 'too long for the log';
}

function who(actor: Actor): string {
  return actor.kind === 'system' ? 'the broker' : named(actor);
}

function named({ issuer, subject }: { readonly issuer: string; readonly subject: string }): string {
  return `${subject} (${issuer})`;
}

function approvedBy(approvals: readonly { readonly issuer: string; readonly subject: string }[]): string {
  return approvals.length === 0 ? '' : `, approved by ${approvals.map(named).join(' and ')}`;
}

function short({ about: { lease } }: AuditEvent): string {
  return `lease ${lease ?? '?'}`;
}
