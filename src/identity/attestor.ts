import type { ZodType } from 'zod';
import type { Json } from '../json.ts';
import type { Result } from '../result.ts';
import type { Runtime } from '../runtime.ts';

/** What a caller presents. Each attestor takes the kinds it knows and answers `null` to the others. */
export type Evidence = { readonly kind: 'bearer'; readonly token: string };

/** A proven identity. It is made by an attestor only, parsed once, and passed on unchanged (invariant 7). */
export interface Principal {
  /** The issuer's name in our configuration: the namespace of `subject`. */
  readonly issuer: string;
  /** The subject as the issuer states it. Unique within the issuer only. */
  readonly subject: string;
  /** All verified claims, as they arrived: nothing is ever coerced. */
  readonly claims: Readonly<Record<string, Json>>;
  readonly proof: Proof;
  /** Who acts for the subject, the nearest first; absent when he acts himself. The broker adds them: see broker/delegation.ts. */
  readonly actors?: readonly ActingParty[];
}

/** Somebody who acts for the subject of a principal (RFC 8693, section 1.1). */
export interface ActingParty {
  /** The issuer that vouches for him, by its name in our configuration. */
  readonly issuer: string;
  readonly subject: string;
  readonly claims: Readonly<Record<string, Json>>;
  /** How he proved it himself; null when the issuer of the subject's token states him (`act`, RFC 8693, section 4.1). */
  readonly proof: Proof | null;
}

/** The keys that the holder of a token must prove to hold (`cnf`, RFC 7800): each that is named, in every request. */
export interface Confirmation {
  /** The SHA-256 thumbprint of a public JWK, by a DPoP proof (RFC 9449, section 6.1). */
  readonly jkt?: string;
  /** The SHA-256 thumbprint of the client's certificate in this connection (RFC 8705, section 3.1). */
  readonly 'x5t#S256'?: string;
}

/** How an identity was proven. */
export interface Proof {
  /** The attestor's kind, for instance `oidc`. */
  readonly method: string;
  /** SHA-256 of the evidence, base64url: names it in the log without disclosing it. */
  readonly evidenceHash: string;
  /** When the evidence itself ends, in milliseconds since the epoch. */
  readonly expiresAt: number;
  /** Present when this evidence may be used once only. The broker records it in the commit that uses it. */
  readonly singleUse?: SingleUse;
  /** Present when the evidence came with a key of its own, as a client certificate does: what is opened is bound to it. */
  readonly boundTo?: Confirmation;
}

/** One use of a piece of evidence. */
export interface SingleUse {
  /** Unique within the broker: issuer name and `jti`, or the evidence's hash. */
  readonly id: string;
  /** When it may be forgotten, in milliseconds since the epoch: the evidence is refused by then anyway. */
  readonly until: number;
}

/** Why evidence was refused. The caller never sees it; the log does. */
export type AttestationReason =
  | 'malformed'
  | 'too-large'
  | 'unknown-issuer'
  | 'algorithm'
  | 'unknown-key'
  | 'signature'
  | 'audience'
  | 'expired'
  | 'not-yet-valid'
  | 'too-old'
  | 'missing-claim'
  | 'keys-unavailable'
  | 'replayed'
  | 'unsupported-evidence';

/** "Mine, but bad": a reason for the operator. `detail` holds no evidence and no secret. */
export interface AttestationRefusal {
  readonly reason: AttestationReason;
  readonly detail: string;
  /** The configured issuer that the evidence claims to be of, when that much could be read. */
  readonly issuer?: string;
}

/**
 * Turns evidence into a principal, for one configured issuer.
 *
 * `attest` is called once for each request, concurrently, before anything is durable. It answers a principal,
 * `null` ("not mine": another attestor may try), or a refusal ("mine, but bad": nobody else is asked).
 * It never writes, never contacts a host that the configuration does not name, and bounds all it does.
 * It throws only on bugs; an issuer that cannot be reached is the refusal `keys-unavailable` (invariant 6).
 */
export interface Attestor {
  /** The issuer's name in the configuration. */
  readonly issuer: string;
  attest(
    evidence: Evidence,
    /** Milliseconds since the epoch. */
    now: number,
    signal: AbortSignal,
  ): Promise<Result<Principal, AttestationRefusal> | null>;
}

/**
 * A kind of issuer: what a configuration may say of it, and how to make its attestor. A folder under `identity/`
 * exports exactly one. It is loaded only when an issuer names it.
 */
export interface AttestorKind<Written = unknown, Settings = unknown> {
  /** The name in the configuration, for instance `oidc`. */
  readonly type: string;
  /** An issuer's entry in the configuration, as it is written, `type` and all. */
  readonly settings: ZodType<Written>;
  /** The settings whose value is the path of a file. `config/` reads these. */
  readonly fileSettings: readonly string[];
  /** Joins an entry with the texts of its files. Pure. Each fault names a setting and says what to write instead. */
  resolve(
    written: Written,
    files: Readonly<Record<string, string>>,
  ): Result<Settings, readonly { readonly setting: string; readonly message: string }[]>;
  /** `name` is the issuer's name in the configuration. Contacts nobody yet. */
  create(name: string, settings: Settings, runtime: Runtime): Attestor;
}
