import type { ZodType } from 'zod';
import type { Json } from '../json.ts';
import type { Result } from '../result.ts';
import type { Runtime } from '../runtime.ts';

/** What a caller presents. Each attestor takes the kinds it knows and answers `null` to the others. */
export type Evidence =
  | { readonly kind: 'bearer'; readonly token: string }
  /**
   * The certificates of a TLS client, as DER, its own first. The handshake proved that the client holds the first one's
   * key, in this very connection; nothing else about them is checked yet.
   */
  | { readonly kind: 'client-certificate'; readonly chain: readonly Uint8Array[] };

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
  /** The same, where it is several pieces that are used together. */
  readonly singleUses?: readonly SingleUse[];
  /** Present when the evidence came with a key of its own, as a client certificate does: what is opened is bound to it. */
  readonly boundTo?: Confirmation;
  /** Present when this evidence is taken only while another issuer cannot be reached: that issuer's name. */
  readonly standsFor?: string;
  /**
   * Present when it is taken as an exception that has an end, in milliseconds since the epoch: from then on the broker
   * neither renews what was opened with it nor adds to it.
   */
  readonly exceptionEndsAt?: number;
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
  /** It lives longer than evidence of its kind may. */
  | 'long-lived'
  /** A certificate that is not fit for this use. */
  | 'certificate'
  /** Withdrawn by its issuer before its time. */
  | 'revoked'
  | 'replayed'
  /** It stands in for another issuer, which is not known to be away for long enough. */
  | 'fallback-closed'
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
  /**
   * Fetches now what the issuer publishes and evidence is proven by; null: it did, else why not, for the operator.
   * There for issuers of which something is fetched. Never throws, and waits for one bounded fetch at the most.
   */
  reach?(signal: AbortSignal): Promise<string | null>;
}

/** What a matcher in a grant must pin so that it says who, for issuers whose tokens are known. Pure data. */
export interface ClaimRules {
  /** Of each of these a matcher pins at least one alternative. */
  readonly pins: readonly ClaimPin[];
  /** Claims of which a value means something only beside others, for instance a name beside its id. */
  readonly beside: readonly ClaimBeside[];
  /** Values that a grant never accepts, for instance events that run with the rights of strangers. */
  readonly never: readonly {
    readonly claim: string;
    readonly values: readonly Json[];
    readonly because: string;
  }[];
  /** What a claim's value must look like, up to its first wildcard, to say what it seems to say. */
  readonly forms: readonly { readonly claim: string; readonly pattern: RegExp; readonly because: string }[];
  /** Claims that say nothing that can be relied on, each with the reason. The members of such a claim neither. */
  readonly unreliable: Readonly<Record<string, string>>;
  /** Claims that are strings though they look otherwise: a number or a boolean would never match. */
  readonly strings: readonly string[];
}

export interface ClaimPin {
  /** Each alternative is a list of claims that pin it together, by exact values. */
  readonly anyOf: readonly (readonly string[])[];
  /** A claim whose value, up to its first wildcard, pins it too when it has this form. */
  readonly form?: { readonly claim: string; readonly pattern: RegExp };
  /** What is true without it, as a clause. */
  readonly because: string;
}

export interface ClaimBeside {
  readonly claim: string;
  /** Of these at least one is pinned too. */
  readonly needs: readonly string[];
  readonly because: string;
}

/** An issuer at which people sign in (OpenID Connect Core 1.0). */
export interface PeopleSignIn {
  /** As its tokens state it in `iss`; its discovery document is below it. */
  readonly url: string;
  /** Of these a token must be for one: the client that asked for it is its audience. */
  readonly audiences: readonly string[];
  readonly singleUse: boolean;
  /** PEM; absent: the roots that Node trusts. */
  readonly ca?: string;
  readonly allowInsecureHttp: boolean;
}

/** What a kind of issuer says of one of its issuers to whoever reads the rest of the configuration. */
export interface IssuerDescription {
  /** As its tokens state it in `iss`; absent for issuers that are no OIDC issuers. */
  readonly url?: string;
  /** What its evidence names as its origin. No two issuers of a configuration share one: it could be of either. */
  readonly names: readonly string[];
  readonly rules?: ClaimRules;
  /** Weaker proof that somebody answers for, each as a sentence: listed whenever the configuration is checked. */
  readonly exceptions?: readonly string[];
  /** How people sign in there; absent where they cannot. */
  readonly signIn?: PeopleSignIn;
  /** The audience that must be the broker's own URL, where evidence of this kind allows no other. */
  readonly ownAudience?: string;
  /** Its evidence is the client's certificate alone: a listener that asks for none leaves it unused. */
  readonly needsClientCertificates?: true;
  /** Whether its attestors have `reach`. */
  readonly isFetched?: true;
  /** Present when its evidence is refused unless another issuer has been away for so long. */
  readonly fallback?: FallbackTerms;
}

/** When an issuer stands in for another. */
export interface FallbackTerms {
  readonly standsFor: string;
  readonly afterSeconds: number;
  /** What must answer too, for the other to count as reached. */
  readonly probeUrl?: string;
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
  /** Pure. Called once, with the settings that `resolve` gave. */
  describe(settings: Settings): IssuerDescription;
  /** `name` is the issuer's name in the configuration. Contacts nobody yet. */
  create(name: string, settings: Settings, runtime: Runtime): Attestor;
}
