import type { EndReason, Outcome, UnknownUse } from '../audit/event.ts';
import type { Confirmation, Principal } from '../identity/attestor.ts';
import type { Json } from '../json.ts';

/** A lease as it is stored. Instants are milliseconds since the epoch. */
export interface LeaseRow {
  readonly id: string;
  readonly taskId: string;
  /** Goes up with every change: whoever changes a lease names the version that he saw. */
  readonly version: number;
  readonly state: 'minting' | 'active' | 'ending' | 'ended';
  readonly credential: string;
  readonly grant: string;
  readonly target: string;
  readonly provider: string;
  /** The credential's name at its target. */
  readonly name: string;
  readonly issuer: string;
  readonly subject: string;
  readonly scope: Json;
  /** Whether the quota of its grant counts it as live. */
  readonly counted: boolean;
  readonly createdAt: number;
  readonly issuedAt: number | null;
  readonly expiresAt: number;
  readonly capAt: number;
  /** When the reaper must look; null once ended. A claim moves it forward. */
  readonly dueAt: number | null;
  readonly handle: Json;
  /** The secret as JWE for the requester's key: unreadable to us. */
  readonly sealed: string | null;
  readonly endReason: EndReason | null;
  readonly endingSince: number | null;
  readonly attempts: number;
  readonly lastError: string | null;
  readonly endedAt: number | null;
  readonly outcome: Outcome | null;
  readonly evidence: Json;
  /** What was seen of its use; null while nothing was. */
  readonly use: LeaseUse | null;
}

/**
 * What is known of the use of a credential. `used`: it was seen, from these places. `maybe-used`: what was seen was done
 * with this credential or with another that the target does not tell from it. The others are said when a lease
 * ends: `not-seen`: whoever looked, again and again from before it was issued until its end, saw nothing, and what was
 * shorter than the time between two looks can have been missed; `unknown`: nobody looked all that time.
 */
export type LeaseUse =
  | {
      readonly verdict: 'used' | 'maybe-used';
      /** Milliseconds since the epoch. `lastSeenAt` may lag behind what was seen by a minute. */
      readonly firstSeenAt: number;
      readonly lastSeenAt: number;
      readonly places: readonly UsePlace[];
      /** There were more places than are kept. */
      readonly more: boolean;
    }
  | { readonly verdict: 'not-seen'; readonly lookedEverySeconds: number }
  | { readonly verdict: 'unknown'; readonly why: UnknownUse };

/** From where, and by what, as far as the target lets us see. */
export interface UsePlace {
  readonly address: string | null;
  readonly application: string | null;
}

/** A task as it is stored. Instants are milliseconds since the epoch. */
export interface TaskRow {
  readonly id: string;
  readonly version: number;
  readonly state: 'open' | 'ended';
  readonly grant: string;
  readonly grantVersion: string;
  readonly taskGrantId: string | null;
  readonly name: string;
  readonly purpose: string | null;
  readonly ticket: string | null;
  /** Nothing is minted for it: a break-glass grant is rehearsed. */
  readonly practice: boolean;
  readonly parameters: Readonly<Record<string, Json>>;
  readonly issuer: string;
  readonly subject: string;
  /** As proven when the task was opened. */
  readonly principal: Principal;
  /** SHA-256 of the task's token, base64url. */
  readonly tokenHash: string;
  /** What the token's holder must prove to hold; null: the token alone will do. */
  readonly cnf: Confirmation | null;
  readonly sealedToken: string | null;
  readonly publicKey: Json;
  /** Digest of the principal and the key that the client chose; null when it chose none. */
  readonly idempotencyKey: string | null;
  /** Digest of exactly what was asked. */
  readonly requestDigest: string;
  readonly openedAt: number;
  readonly expiresAt: number;
  readonly heartbeatSeconds: number | null;
  readonly heartbeatDueAt: number | null;
  readonly endedAt: number | null;
  readonly endReason: EndReason | null;
  readonly exitStatus: number | null;
}

/** A task grant as it is stored. Instants are milliseconds since the epoch. */
export interface TaskGrantRow {
  readonly id: string;
  readonly grant: string;
  readonly grantVersion: string;
  /** A `Cut`: see grants/grant.ts. */
  readonly cut: Json;
  readonly createdBy: { readonly issuer: string; readonly subject: string };
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly uses: number;
  /** Tasks that were opened with it. */
  readonly used: number;
}

/** What a kill matches. Null matches all; a subject stands with its issuer. */
export interface KillMatch {
  readonly issuer: string | null;
  readonly subject: string | null;
  readonly grant: string | null;
  readonly target: string | null;
  readonly task: string | null;
}

/** A kill as it is stored: the order, how far it has been carried out, and whether its block stands. */
export interface KillRow extends KillMatch {
  readonly id: string;
  /** Instants are milliseconds since the epoch. */
  readonly orderedAt: number;
  readonly orderedBy: Identity;
  readonly reason: string;
  /** What was made due by it. */
  readonly tasks: number;
  readonly leases: number;
  /** Null until all that it matches has been made due. */
  readonly markedAt: number | null;
  readonly liftedAt: number | null;
  readonly liftedBy: Identity | null;
  readonly liftReason: string | null;
  /** When the block is lifted by itself; null: when somebody lifts it. */
  readonly liftsAt: number | null;
}

/** Who did something, as a row keeps it. */
export interface Identity {
  readonly issuer: string;
  readonly subject: string;
}

/** Somebody as he was proven when he asked or approved: what is checked again when it counts. */
export interface Person extends Identity {
  readonly claims: Readonly<Record<string, Json>>;
  /** Who acts for him. */
  readonly actors?: readonly Person[];
}

export interface Approval {
  readonly by: Person;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** The longest lifetime that the approver allows; null: what was asked. */
  readonly ttlSeconds: number | null;
}

/** A kit for when no broker can be reached. Instants are milliseconds since the epoch. */
export interface KitRow {
  readonly id: string;
  readonly sealedAt: number;
  readonly sealedBy: Identity;
  /** The Ed25519 key that signs its log: 32 bytes in base64. */
  readonly logKey: string;
  /** How many codes open it. */
  readonly threshold: number;
  /** Whose the codes are, in their order. */
  readonly holders: readonly string[];
  readonly grants: readonly string[];
  readonly expiresAt: number;
}

/** An issuer that stands in for another. Instants are milliseconds since the epoch. */
export interface FallbackRow {
  readonly issuer: string;
  readonly version: number;
  readonly standsFor: string;
  readonly state: 'closed' | 'open';
  /** When the other was reached last, by any replica. */
  readonly reachedAt: number | null;
  /** Since when every look failed. */
  readonly failingSince: number | null;
  readonly lookedAt: number;
}

/** A wish that waits for approval, as it is stored. Instants are milliseconds since the epoch. */
export interface RequestRow {
  readonly id: string;
  readonly version: number;
  readonly state: 'pending' | 'approved' | 'denied' | 'expired' | 'cancelled' | 'redeemed';
  readonly digest: string;
  readonly grant: string;
  readonly issuer: string;
  readonly subject: string;
  readonly ask: RequestAsk;
  readonly requester: Person;
  readonly approvals: readonly Approval[];
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly reason: string | null;
  readonly taskId: string | null;
}

/** What was asked, as policy read it. */
export interface RequestAsk {
  readonly task: string;
  readonly purpose: string | null;
  /** Absent: none was named. */
  readonly ticket?: string;
  /** When it is to start, at the earliest; absent: at once. */
  readonly notBefore?: number;
  /** Only ever a rehearsal. */
  readonly practice?: true;
  readonly parameters: Readonly<Record<string, Json>>;
  readonly grantVersion: string;
  readonly taskGrant: string | null;
  readonly credentials: readonly {
    readonly name: string;
    readonly target: string;
    readonly scope: Json;
    readonly ttlSeconds: number;
    readonly capSeconds: number;
  }[];
}

/** The review of one use of a break-glass grant, as it is stored. Instants are milliseconds since the epoch. */
export interface ReviewRow {
  readonly id: string;
  readonly version: number;
  readonly state: 'open' | 'due' | 'closed';
  readonly grant: string;
  readonly taskId: string;
  readonly issuer: string;
  readonly subject: string;
  /** Who used it, as he was proven. */
  readonly person: Person;
  /** The names of `people` that he had then. */
  readonly people: readonly string[];
  readonly practice: boolean;
  readonly purpose: string;
  readonly ticket: string | null;
  readonly openedAt: number;
  readonly dueAt: number;
  readonly closedAt: number | null;
  readonly closedBy: Identity | null;
  readonly finding: string | null;
}

/** Somebody who signed in with a browser. Instants are milliseconds since the epoch. */
export interface SessionRow {
  readonly id: string;
  readonly tokenHash: string;
  readonly issuer: string;
  readonly subject: string;
  /** As he was proven at sign-in. */
  readonly principal: Principal;
  readonly beganAt: number;
  /** It ends then, however much it is used. */
  readonly expiresAt: number;
  /** It ends then, unless it is used before. */
  readonly endsAt: number;
}
