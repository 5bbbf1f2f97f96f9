import type { Json } from '../json.ts';

/** The version of the events' form. It goes up with any change that a reader must know of. */
export const EVENT_VERSION = 1;

/** Who did it. `system` is the broker itself: the reaper, a sweep, a start. */
export type Actor =
  | {
      readonly kind: 'principal';
      readonly issuer: string;
      readonly subject: string;
      /** Who acted for him, the nearest first. */
      readonly actors?: readonly { readonly issuer: string; readonly subject: string }[];
    }
  | { readonly kind: 'system' };

/** What an event is about. Those that do not apply are left out. */
export interface About {
  readonly task?: string;
  readonly lease?: string;
  readonly grant?: string;
  readonly target?: string;
  /** It is of a rehearsal: nothing was or will be minted by it. */
  readonly practice?: true;
}

/** An event before it has its id and time. */
export type NewEvent = { readonly actor: Actor; readonly about: About } & EventBody;

/** Everything that the log can say. No member ever holds a secret; evidence is named by its hash. */
export type EventBody =
  | {
      readonly kind: 'broker.started';
      readonly data: { readonly configuration: string; readonly version: string };
    }
  | {
      readonly kind: 'configuration.loaded';
      readonly data: {
        readonly digest: string;
        /** The digest before; null at the first start. */
        readonly before: string | null;
        readonly added: readonly string[];
        readonly changed: readonly string[];
        readonly removed: readonly string[];
      };
    }
  /** A grant asks for less approval than before. */
  | {
      readonly kind: 'approval.weakened';
      readonly data: { readonly how: readonly string[]; readonly before: Json; readonly after: Json };
    }
  /** A key begins to sign the log. Whoever trusts an earlier one learns of it here. */
  | {
      readonly kind: 'log.key-added';
      readonly data: {
        readonly key: string;
        /** The note by which earlier keys vouch for it (`introduction.ts`); absent where there was none. */
        readonly introduction?: string;
      };
    }
  /** The store holds less of the log than was seen of it, or something else: it is not signed on. */
  | {
      readonly kind: 'log.went-back';
      readonly data: {
        readonly what: string;
        /** Roots are base64. */
        readonly seen: { readonly size: number; readonly root: string } | null;
        readonly found: { readonly size: number; readonly root: string } | null;
      };
    }
  | {
      readonly kind: 'request.refused';
      readonly data: {
        readonly request: string;
        readonly reason: string;
        readonly detail: string;
        readonly evidence: string | null;
      };
    }
  | {
      readonly kind: 'task.opened';
      readonly data: {
        readonly name: string;
        readonly purpose: string | null;
        readonly ticket?: string;
        readonly parameters: Json;
        readonly grantVersion: string;
        readonly taskGrant: string | null;
        readonly claims: Json;
        readonly proof: { readonly method: string; readonly evidence: string };
        /** Those who act for the principal; no proof where his token's issuer states them. */
        readonly actors?: readonly {
          readonly issuer: string;
          readonly subject: string;
          readonly claims: Json;
          readonly proof: { readonly method: string; readonly evidence: string } | null;
        }[];
        /** What the holder of the token must prove to hold, as RFC 7800 writes it. */
        readonly boundTo?: Json;
        readonly request: string;
      };
    }
  | {
      readonly kind: 'task.extended';
      readonly data: { readonly credentials: Json; readonly request: string };
    }
  | { readonly kind: 'task.heartbeat-missed'; readonly data: { readonly deadline: string } }
  | {
      readonly kind: 'task.ended';
      readonly data: { readonly reason: EndReason; readonly exitStatus: number | null };
    }
  | {
      readonly kind: 'lease.intended';
      readonly data: {
        readonly credential: string;
        readonly provider: string;
        readonly name: string;
        readonly scope: Json;
        readonly expiresAt: string;
        readonly capAt: string;
      };
    }
  | {
      readonly kind: 'lease.issued';
      readonly data: { readonly expiresAt: string; readonly sealed: boolean };
    }
  | { readonly kind: 'lease.redelivered'; readonly data: Record<string, never> }
  | {
      readonly kind: 'lease.mint-failed';
      readonly data: { readonly code: string; readonly detail: string; readonly mayExist: boolean };
    }
  | {
      readonly kind: 'lease.renewed';
      readonly data: { readonly expiresAt: string; readonly grantVersion: string };
    }
  | {
      readonly kind: 'lease.ending';
      readonly data: {
        readonly reason: EndReason /** The words of whoever asked for it. */;
        readonly note?: string;
      };
    }
  | {
      readonly kind: 'lease.end-failed';
      readonly data: {
        readonly code: string;
        readonly detail: string;
        readonly attempt: number;
        readonly nextAttemptAt: string;
        /** It should have been gone for longer than the broker thinks normal. */
        readonly overdue: boolean;
      };
    }
  | {
      readonly kind: 'lease.ended';
      readonly data: {
        readonly outcome: Outcome;
        readonly reason: EndReason;
        readonly evidence: Json;
        /** What is known of its use; absent where nobody ever received it. */
        readonly use?: UseAtEnd;
      };
    }
  /** A credential was seen in use: the first time, and from each new place up to a bound. */
  | {
      readonly kind: 'credential.used';
      readonly data: {
        /** What saw it: an open session at the target, or the audit trail of a cloud. */
        readonly how: 'session' | 'trail';
        readonly seenAt: string;
        /** When it began by the target's clock, where the target tells. */
        readonly since: string | null;
        readonly address: string | null;
        readonly application: string | null;
        /** What the trail says: its name here, its own id of the event, the call, and why it was refused if it was. */
        readonly trail?: {
          readonly name: string;
          readonly event: string;
          readonly action: string;
          readonly error: string | null;
        };
        /** Leases that it may be of, this one among them: the trail names their account alone. Absent: of this one. */
        readonly mayBeOf?: number;
      };
    }
  | {
      readonly kind: 'orphan.found';
      readonly data: { readonly name: string; readonly why: 'no-lease' | 'lease-ended' };
    }
  | {
      readonly kind: 'orphan.ended';
      readonly data: { readonly name: string; readonly evidence: Json };
    }
  | {
      readonly kind: 'task-grant.created';
      readonly data: {
        readonly id: string;
        readonly grantVersion: string;
        readonly cut: Json;
        readonly uses: number;
        readonly expiresAt: string;
      };
    }
  | {
      readonly kind: 'kill.ordered';
      readonly data: { readonly id: string; readonly reason: string; readonly match: Json };
    }
  /** All that the kill matches has been made due. */
  | {
      readonly kind: 'kill.marked';
      readonly data: { readonly id: string; readonly tasks: number; readonly leases: number };
    }
  | { readonly kind: 'block.lifted'; readonly data: { readonly id: string; readonly reason: string } }
  | {
      readonly kind: 'request.created';
      readonly data: {
        readonly id: string;
        readonly digest: string;
        readonly ask: Json;
        /** The humans that whoever asks is or acts for. */
        readonly onBehalfOf: Json;
        readonly expiresAt: string;
      };
    }
  /** One approval; `complete` when it was the last that was needed. */
  | {
      readonly kind: 'request.approved';
      readonly data: {
        readonly id: string;
        readonly digest: string;
        readonly ttlSeconds: number | null;
        readonly complete: boolean;
      };
    }
  /** A condition stands for the approvals of all stages without a condition of their own. */
  | {
      readonly kind: 'request.auto-approved';
      readonly data: {
        readonly id: string;
        readonly digest: string;
        /** As it is written in the grant. */
        readonly condition: string;
        readonly complete: boolean;
      };
    }
  | { readonly kind: 'request.denied'; readonly data: { readonly id: string; readonly reason: string } }
  | { readonly kind: 'request.cancelled'; readonly data: { readonly id: string; readonly reason: string } }
  | { readonly kind: 'request.expired'; readonly data: { readonly id: string } }
  | {
      readonly kind: 'request.redeemed';
      readonly data: {
        readonly id: string;
        readonly digest: string;
        /** Those that counted when it was used, in the order in which they were given. */
        readonly approvals: readonly {
          readonly issuer: string;
          readonly subject: string;
          readonly at: string;
        }[];
      };
    }
  /** Somebody uses a break-glass grant, or rehearses it. */
  | {
      readonly kind: 'breakglass.opened';
      readonly data: {
        readonly practice: boolean;
        /** His names in `people`. */
        readonly people: readonly string[];
        readonly name: string;
        readonly purpose: string;
        readonly ticket?: string;
        readonly credentials: Json;
        /** The request whose approval it rests on; null where the grant asks for none. */
        readonly request: string | null;
        readonly until: string;
        readonly review: string;
        readonly reviewDueAt: string;
      };
    }
  | { readonly kind: 'review.due'; readonly data: ReviewData }
  | { readonly kind: 'review.closed'; readonly data: ReviewData & { readonly finding: string } }
  /** An issuer has been away for long enough: what stands in for it is taken. */
  | {
      readonly kind: 'fallback.opened';
      readonly data: {
        readonly issuer: string;
        readonly standsFor: string;
        readonly failingSince: string;
        readonly detail: string;
      };
    }
  | {
      readonly kind: 'fallback.closed';
      readonly data: { readonly issuer: string; readonly standsFor: string; readonly reason: string };
    }
  | {
      readonly kind: 'fallback.used';
      readonly data: {
        readonly issuer: string;
        readonly standsFor: string;
        readonly request: string;
        readonly evidence: string;
      };
    }
  /** A kit was made that opens grants without any broker. */
  | {
      readonly kind: 'kit.sealed';
      readonly data: {
        readonly id: string;
        readonly threshold: number;
        readonly holders: readonly string[];
        readonly grants: readonly string[];
        readonly expiresAt: string;
        readonly logKey: string;
      };
    }
  /** An entry of the log of a kit, as its own log has it. */
  | {
      readonly kind: 'offline.replayed';
      readonly data: {
        readonly kit: string;
        readonly log: string;
        readonly index: number;
        readonly event: Json;
      };
    }
  /** One code opened a kit twice: on two machines, or after its state was put back. */
  | {
      readonly kind: 'kit.code-reused';
      readonly data: {
        readonly kit: string;
        readonly code: number;
        readonly holder: string;
        readonly log: string;
        readonly index: number;
      };
    }
  /** A channel refused for good, and again and again, what it was to be told. */
  | {
      readonly kind: 'notification.failed';
      readonly data: {
        readonly channel: string;
        /** The event that it was not told of, and its kind. */
        readonly event: string;
        readonly of: string;
        readonly refusals: number;
        readonly detail: string;
      };
    }
  /** A person signed in with a browser. What he does in the session is logged as his. */
  | {
      readonly kind: 'signin.succeeded';
      readonly data: {
        readonly session: string;
        readonly claims: Json;
        readonly proof: { readonly method: string; readonly evidence: string };
        readonly expiresAt: string;
      };
    }
  | {
      readonly kind: 'signin.refused';
      readonly data: {
        readonly reason: string;
        readonly detail: string;
        readonly evidence: string | null;
      };
    }
  | {
      readonly kind: 'signin.ended';
      readonly data: { readonly session: string; readonly reason: SessionEnd };
    }
  | { readonly kind: 'disclosed'; readonly data: { readonly what: string; readonly filter: Json } };

/** What is known of a credential's use when its lease ends: see `LeaseUse` in store/rows.ts. */
export type UseAtEnd =
  | {
      readonly verdict: 'used' | 'maybe-used';
      readonly firstSeenAt: string;
      readonly lastSeenAt: string;
      readonly places: number;
      readonly more: boolean;
    }
  | { readonly verdict: 'not-seen'; readonly lookedEverySeconds: number }
  | { readonly verdict: 'unknown'; readonly why: UnknownUse };

/**
 * Why nothing can be said of a use: the target shows none (`not-observed`); nobody looked for part of the time
 * (`observed-in-part`); an earlier attempt to end it may have cut sessions that nobody heard of (`ended-in-parts`).
 */
export type UnknownUse = 'not-observed' | 'observed-in-part' | 'ended-in-parts';
/** A review, and whose use it is about. */
type ReviewData = {
  readonly id: string;
  readonly practice: boolean;
  readonly issuer: string;
  readonly subject: string;
  readonly people: readonly string[];
  readonly dueAt: string;
};

/** How a lease ended, truthfully (invariant 3). */
export type Outcome = 'revoked' | 'denied' | 'expired' | 'never-minted';

/** Why a session ends: its person ended it or signed in anew, nobody used it, its time was up, or a kill is about him. */
export type SessionEnd = 'signed-out' | 'replaced' | 'idle' | 'expired' | 'killed';

/** Why a lease or a task ends. */
export type EndReason =
  | 'completed'
  | 'expired'
  | 'heartbeat-missed'
  | 'mint-failed'
  | 'abandoned'
  | 'revoked'
  | 'killed'
  | 'withdrawn';

/** An event as it is logged: what its leaf in the tree is made of. */
export type AuditEvent = NewEvent & {
  readonly v: typeof EVENT_VERSION;
  readonly id: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly at: string;
};

export type EventKind = EventBody['kind'];
