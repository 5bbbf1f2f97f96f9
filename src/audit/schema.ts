import { z } from 'zod';
import { EVENT_VERSION, type EventBody, type EventKind } from './event.ts';

/** The events as a schema, for those who read the log: each kind with what it means and what it holds. */

const instant = z.iso.datetime({ precision: 3 });
const json = z.json();
const names = z.array(z.string());
const review = {
  id: z.string(),
  practice: z.boolean(),
  issuer: z.string(),
  subject: z.string(),
  people: names,
  dueAt: instant,
};
const proof = z.strictObject({ method: z.string(), evidence: z.string() });
const tree = z.strictObject({ size: z.int(), root: z.base64() });
const reason = z.enum([
  'completed',
  'expired',
  'heartbeat-missed',
  'mint-failed',
  'abandoned',
  'revoked',
  'killed',
  'withdrawn',
]);

const useAtEnd = z.discriminatedUnion('verdict', [
  z.strictObject({
    verdict: z.enum(['used', 'maybe-used']),
    firstSeenAt: instant,
    lastSeenAt: instant,
    places: z.int(),
    more: z.boolean(),
  }),
  z.strictObject({ verdict: z.literal('not-seen'), lookedEverySeconds: z.int() }),
  z.strictObject({
    verdict: z.literal('unknown'),
    why: z.enum(['not-observed', 'observed-in-part', 'ended-in-parts']),
  }),
]);

type DataOf<Kind extends EventKind> = Extract<EventBody, { readonly kind: Kind }>['data'];

/** A schema for each member, those that may be absent included. */
type ShapeOf<Kind extends EventKind> = { readonly [Member in keyof Required<DataOf<Kind>>]: z.ZodType };

/** Every kind of event. The compiler holds it against the union: a kind or a member that is missing is a fault. */
export const EVENTS: {
  readonly [Kind in EventKind]: {
    readonly meaning: string;
    readonly data: z.ZodType<DataOf<Kind>> & { readonly shape: ShapeOf<Kind> };
  };
} = {
  'kill.ordered': {
    meaning: 'An operator ordered that all that matches ends, and is kept out',
    data: z.strictObject({ id: z.string(), reason: z.string(), match: json }),
  },
  'kill.marked': {
    meaning: 'All that a kill matches was made due',
    data: z.strictObject({ id: z.string(), tasks: z.int(), leases: z.int() }),
  },
  'block.lifted': {
    meaning: 'What a kill kept out may begin again',
    data: z.strictObject({ id: z.string(), reason: z.string() }),
  },
  'request.created': {
    meaning: 'A task waits for approval',
    data: z.strictObject({
      id: z.string(),
      digest: z.string(),
      ask: json,
      onBehalfOf: json,
      expiresAt: instant,
    }),
  },
  'request.approved': {
    meaning: 'Somebody approved a request; `complete` when it needs no more',
    data: z.strictObject({
      id: z.string(),
      digest: z.string(),
      ttlSeconds: z.int().nullable(),
      complete: z.boolean(),
    }),
  },
  'request.auto-approved': {
    meaning:
      'A condition of the grant approved a request in place of people; `complete` when it needs no more',
    data: z.strictObject({
      id: z.string(),
      digest: z.string(),
      condition: z.string(),
      complete: z.boolean(),
    }),
  },
  'request.denied': {
    meaning: 'Somebody denied a request',
    data: z.strictObject({ id: z.string(), reason: z.string() }),
  },
  'request.cancelled': {
    meaning: 'A request was taken back',
    data: z.strictObject({ id: z.string(), reason: z.string() }),
  },
  'request.expired': { meaning: 'A request lapsed', data: z.strictObject({ id: z.string() }) },
  'request.redeemed': {
    meaning: 'A task was opened by an approved request: by these approvals, unless a condition gave it',
    data: z.strictObject({
      id: z.string(),
      digest: z.string(),
      approvals: z.array(z.strictObject({ issuer: z.string(), subject: z.string(), at: instant })),
    }),
  },
  'broker.started': {
    meaning: 'A broker began to serve, with this configuration',
    data: z.strictObject({ configuration: z.string(), version: z.string() }),
  },
  'configuration.loaded': {
    meaning: 'The configuration is another than before: the names of what was added, changed and removed',
    data: z.strictObject({
      digest: z.string(),
      before: z.string().nullable(),
      added: names,
      changed: names,
      removed: names,
    }),
  },
  'approval.weakened': {
    meaning:
      'A configuration was loaded in which a grant asks for less approval than before, or none: in which ways',
    data: z.strictObject({ how: names, before: json, after: json }),
  },
  'log.key-added': {
    meaning:
      'A key began to sign the log: its verifier key, and the signed note by which earlier ones vouch for it',
    data: z.strictObject({ key: z.string(), introduction: z.exactOptional(z.string()) }),
  },
  'log.went-back': {
    meaning: 'The store holds less of the log than was seen of it, or something else: it is not signed on',
    data: z.strictObject({ what: z.string(), seen: tree.nullable(), found: tree.nullable() }),
  },
  'request.refused': {
    meaning: 'A request was refused: the true reason, and the hash of what was presented',
    data: z.strictObject({
      request: z.string(),
      reason: z.string(),
      detail: z.string(),
      evidence: z.string().nullable(),
    }),
  },
  'task.opened': {
    meaning:
      "A task was opened: what was asked, the grant's version that allowed it, and the claims it rested on",
    data: z.strictObject({
      name: z.string(),
      purpose: z.string().nullable(),
      ticket: z.exactOptional(z.string()),
      parameters: json,
      grantVersion: z.string(),
      taskGrant: z.string().nullable(),
      claims: json,
      proof,
      actors: z.exactOptional(
        z.array(
          z.strictObject({ issuer: z.string(), subject: z.string(), claims: json, proof: proof.nullable() }),
        ),
      ),
      boundTo: z.exactOptional(json),
      request: z.string(),
    }),
  },
  'task.extended': {
    meaning: 'More credentials were asked for by a task that is open',
    data: z.strictObject({ credentials: json, request: z.string() }),
  },
  'task.heartbeat-missed': {
    meaning: 'The runner of a task was not heard of in time',
    data: z.strictObject({ deadline: instant }),
  },
  'task.ended': {
    meaning: 'A task ended, and its leases begin to end',
    data: z.strictObject({ reason, exitStatus: z.int().nullable() }),
  },
  'lease.intended': {
    meaning: 'A credential is about to be made: written before its target is asked',
    data: z.strictObject({
      credential: z.string(),
      provider: z.string(),
      name: z.string(),
      scope: json,
      expiresAt: instant,
      capAt: instant,
    }),
  },
  'lease.issued': {
    meaning: 'The target made the credential; with `sealed` it left encrypted for the key of the request',
    data: z.strictObject({ expiresAt: instant, sealed: z.boolean() }),
  },
  'lease.redelivered': {
    meaning: 'A request was repeated, and its sealed credential was given again',
    data: z.strictObject({}),
  },
  'lease.mint-failed': {
    meaning: 'The target did not make the credential, as far as is known',
    data: z.strictObject({ code: z.string(), detail: z.string(), mayExist: z.boolean() }),
  },
  'lease.renewed': {
    meaning: 'The expiry of a lease moved',
    data: z.strictObject({ expiresAt: instant, grantVersion: z.string() }),
  },
  'lease.ending': {
    meaning: 'A lease has to end; `note` are the words of whoever asked for it',
    data: z.strictObject({ reason, note: z.exactOptional(z.string()) }),
  },
  'lease.end-failed': {
    meaning: 'An attempt to end a lease failed; another follows',
    data: z.strictObject({
      code: z.string(),
      detail: z.string(),
      attempt: z.int(),
      nextAttemptAt: instant,
      overdue: z.boolean(),
    }),
  },
  'lease.ended': {
    meaning: 'A lease ended, truthfully, with what the target confirmed, and what is known of its use',
    data: z.strictObject({
      outcome: z.enum(['revoked', 'denied', 'expired', 'never-minted']),
      reason,
      evidence: json,
      use: z.exactOptional(useAtEnd),
    }),
  },
  'credential.used': {
    meaning:
      'A credential was seen in use: the first time, and from each new place up to a bound; with `mayBeOf` it may have been another of so many leases',
    data: z.strictObject({
      how: z.enum(['session', 'trail']),
      seenAt: instant,
      since: instant.nullable(),
      address: z.string().nullable(),
      application: z.string().nullable(),
      trail: z.exactOptional(
        z.strictObject({
          name: z.string(),
          event: z.string(),
          action: z.string(),
          error: z.string().nullable(),
        }),
      ),
      mayBeOf: z.exactOptional(z.int()),
    }),
  },
  'orphan.found': {
    meaning: 'A credential of ours was found at a target without a live lease',
    data: z.strictObject({ name: z.string(), why: z.enum(['no-lease', 'lease-ended']) }),
  },
  'orphan.ended': {
    meaning: 'Such a credential was ended',
    data: z.strictObject({ name: z.string(), evidence: json }),
  },
  'task-grant.created': {
    meaning: 'A grant was cut down to single runs',
    data: z.strictObject({
      id: z.string(),
      grantVersion: z.string(),
      cut: json,
      uses: z.int(),
      expiresAt: instant,
    }),
  },
  'breakglass.opened': {
    meaning:
      'Somebody used a break-glass grant, or, with `practice`, rehearsed it: who, what, why, and its review',
    data: z.strictObject({
      practice: z.boolean(),
      people: names,
      name: z.string(),
      purpose: z.string(),
      ticket: z.exactOptional(z.string()),
      credentials: json,
      request: z.string().nullable(),
      until: instant,
      review: z.string(),
      reviewDueAt: instant,
    }),
  },
  'review.due': {
    meaning:
      'The review of a use of break-glass is overdue: that person cannot use it again until it is closed',
    data: z.strictObject(review),
  },
  'review.closed': {
    meaning: 'Somebody else closed the review of a use of break-glass, with what he found',
    data: z.strictObject({ ...review, finding: z.string() }),
  },
  'fallback.opened': {
    meaning: 'An issuer has been out of reach for long enough: what stands in for it is taken',
    data: z.strictObject({
      issuer: z.string(),
      standsFor: z.string(),
      failingSince: instant,
      detail: z.string(),
    }),
  },
  'fallback.closed': {
    meaning: 'What stands in for an issuer is refused again, and why',
    data: z.strictObject({ issuer: z.string(), standsFor: z.string(), reason: z.string() }),
  },
  'fallback.used': {
    meaning: 'Somebody was let in by what stands in for an issuer that is away',
    data: z.strictObject({
      issuer: z.string(),
      standsFor: z.string(),
      request: z.string(),
      evidence: z.string(),
    }),
  },
  'kit.sealed': {
    meaning: 'A kit was made that opens grants while no broker can be reached',
    data: z.strictObject({
      id: z.string(),
      threshold: z.int(),
      holders: names,
      grants: names,
      expiresAt: instant,
      logKey: z.string(),
    }),
  },
  'offline.replayed': {
    meaning: 'What a kit did while no broker could be reached: an entry of its own log, whole',
    data: z.strictObject({ kit: z.string(), log: z.string(), index: z.int(), event: json }),
  },
  'kit.code-reused': {
    meaning:
      'A single-use code opened a kit a second time, on another machine or after its state was put back',
    data: z.strictObject({
      kit: z.string(),
      code: z.int(),
      holder: z.string(),
      log: z.string(),
      index: z.int(),
    }),
  },
  'notification.failed': {
    meaning: 'A channel refused for good, again and again, to take the news of an event: it was given up',
    data: z.strictObject({
      channel: z.string(),
      event: z.string(),
      of: z.string(),
      refusals: z.int(),
      detail: z.string(),
    }),
  },
  'signin.succeeded': {
    meaning: 'A person signed in with a browser: the claims that the session rests on, and when it ends',
    data: z.strictObject({ session: z.string(), claims: json, proof, expiresAt: instant }),
  },
  'signin.refused': {
    meaning: 'A sign-in with a browser was refused: the true reason',
    data: z.strictObject({ reason: z.string(), detail: z.string(), evidence: z.string().nullable() }),
  },
  'signin.ended': {
    meaning: 'The session of a browser ended',
    data: z.strictObject({
      session: z.string(),
      reason: z.enum(['signed-out', 'replaced', 'idle', 'expired', 'killed']),
    }),
  },
  disclosed: {
    meaning: 'Somebody with a role read what is not his own',
    data: z.strictObject({ what: z.string(), filter: json }),
  },
};

const envelope = z.strictObject({
  v: z.literal(EVENT_VERSION),
  id: z.string().regex(/^[0-7][0-9a-hjkmnp-tv-z]{25}$/),
  at: instant,
  kind: z.string(),
  actor: z.discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('principal'),
      issuer: z.string(),
      subject: z.string(),
      actors: z.array(z.strictObject({ issuer: z.string(), subject: z.string() })).optional(),
    }),
    z.strictObject({ kind: z.literal('system') }),
  ]),
  about: z.strictObject({
    task: z.string().optional(),
    lease: z.string().optional(),
    grant: z.string().optional(),
    target: z.string().optional(),
    practice: z.literal(true).optional(),
  }),
  data: z.unknown(),
});

/** What stands in the place of a member that was too long for the log. */
const omitted = z.strictObject({
  omitted: z.strictObject({ bytes: z.int(), sha256: z.string() }),
});

/** An event as it is logged. */
export const eventSchema = envelope.superRefine((event, context) => {
  const kind = Object.hasOwn(EVENTS, event.kind) ? EVENTS[event.kind as EventKind] : undefined;
  if (kind === undefined) {
    context.addIssue({
      code: 'custom',
      path: ['kind'],
      message: `There is no kind ${JSON.stringify(event.kind)}`,
    });
    return;
  }
  const shape = Object.entries(kind.data.shape).map(([name, member]) => [name, z.union([member, omitted])]);
  const data = z.strictObject(Object.fromEntries(shape)).safeParse(event.data);
  for (const issue of data.error?.issues ?? [])
    context.addIssue({ code: 'custom', path: ['data', ...issue.path], message: issue.message });
});

/** The table of all kinds, in Markdown, as README.md shows it. */
export function eventTable(): string {
  const rows = Object.entries(EVENTS).map(
    ([kind, { meaning, data }]) =>
      `| \`${kind}\` | ${meaning} | ${Object.keys(data.shape)
        .map((name) => `\`${name}\``)
        .join(', ')} |`,
  );
  return ['| kind | what it means | data |', '| --- | --- | --- |', ...rows].join('\n');
}
