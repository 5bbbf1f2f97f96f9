import type { ActingParty, Principal } from '../identity/attestor.ts';
import type { Json } from '../json.ts';

/**
 * A grant as it is used: parsed, compiled and checked at load. Pure data and pure functions; made by `parseGrant`.
 * Whoever is not matched, whatever is not named, and whatever fails to evaluate is denied (invariant 6).
 */
export interface Grant {
  readonly name: string;
  /** Digest of everything in the grant that decides: pinned by each decision (invariant 7). */
  readonly version: string;
  readonly description: string | null;
  /** Any of them lets a principal in. Never empty. */
  readonly who: readonly PrincipalMatcher[];
  /** Which task names it covers. Never empty. */
  readonly tasks: readonly Pattern[];
  readonly purpose: 'required' | 'optional';
  /** What a purpose must look like; null: any will do. Where it is not null a purpose is required. */
  readonly purposePatterns: readonly Pattern[] | null;
  /** What the ticket must look like that a task needs; null: none is needed. */
  readonly ticketPatterns: readonly Pattern[] | null;
  /** What a task may ask for, by the credential's name in the grant. Never empty. */
  readonly credentials: ReadonlyMap<string, CredentialGrant>;
  readonly parameters: ReadonlyMap<string, ParameterRule>;
  /** All of them must be true. */
  readonly conditions: readonly Condition[];
  readonly limits: {
    /** Leases of this grant that may be live at once; null: no limit. */
    readonly liveLeases: number | null;
    /** Leases of this grant that may be issued in any hour; null: no limit. */
    readonly issuesPerHour: number | null;
  };
  /** A task that stays silent for longer loses its credentials; null: no heartbeat is asked for. */
  readonly heartbeatSeconds: number | null;
  /** Whose approval a task needs before it is opened; null: nobody's. */
  readonly approval: ApprovalRule | null;
  /** What follows where it is for emergencies; null: it is not. */
  readonly breakGlass: BreakGlassRule | null;
  /** Whether orchestrators may cut task grants from it, and how long and how often these may be used; null: no. */
  readonly taskGrants: { readonly maxSeconds: number; readonly maxUses: number } | null;
}

/** Who must approve, stage after stage. */
export interface ApprovalRule {
  /** Never empty. */
  readonly stages: readonly ApprovalStage[];
  /** Any of them that holds stands for all stages without a condition of their own. */
  readonly autoApprove: readonly Condition[];
  /** What waits or was approved lapses after this. */
  readonly lapseSeconds: number;
}

export interface ApprovalStage {
  /** Any of them may approve. Never empty. */
  readonly from: readonly PrincipalMatcher[];
  /** How many of them must: one or more. */
  readonly approvals: number;
  /** The stage is left out only where this is false, and says so without an error; null: never. One at least is null. */
  readonly when: Condition | null;
}

/** A grant for emergencies: its uses are told at once, and reviewed. */
export interface BreakGlassRule {
  /** Whether it opens without approval. Otherwise the grant has one. */
  readonly withoutApproval: boolean;
  /** Those whom it lets in, each by what it says of him. */
  readonly named: readonly {
    readonly issuer: string;
    readonly claims: Readonly<Record<string, string>>;
  }[];
  readonly review: {
    /** Who closes reviews. Never empty. */
    readonly by: readonly PrincipalMatcher[];
    /** From the latest end of the task until its review is due. */
    readonly dueSeconds: number;
  };
}

/** One human, by the identities that are his or act for him: his own, and the jobs that he triggers. */
export interface Human {
  readonly name: string;
  readonly who: readonly PrincipalMatcher[];
}

export interface PrincipalMatcher {
  /** The issuer's name in the configuration. */
  readonly issuer: string;
  /** All must match. A claim's name may be a path: `kubernetes.io/namespace` is the member `namespace` of `kubernetes.io`. */
  readonly claims: readonly ClaimRule[];
  /** Who must act for the principal, and so on along the chain. Absent: nobody may, he acts himself. */
  readonly actor?: PrincipalMatcher;
}

export interface ClaimRule {
  /** As the configuration writes it. */
  readonly name: string;
  readonly path: readonly string[];
  /** Any of them will do. */
  readonly accepts: readonly Pattern[];
}

/** An exact JSON scalar, compared with its type, or an anchored glob over strings. */
export interface Pattern {
  /** As the configuration writes it, for explanations. */
  readonly text: string;
  matches(value: Json | undefined): boolean;
}

export interface CredentialGrant {
  readonly name: string;
  readonly target: string;
  /** The provider's kind at that target. */
  readonly provider: string;
  readonly ttl: {
    /** What the provider needs at least. */
    readonly shortestSeconds: number;
    readonly defaultSeconds: number;
    readonly maxSeconds: number;
    /** How long renewals may carry it from its issue, in all. At least `maxSeconds`. */
    readonly capSeconds: number;
  };
  /**
   * The scope for these parameter values, templates filled in, escaped for the target, and validated by the
   * provider's schema. A refusal says which template or field.
   */
  scopeFor(
    values: TemplateValues,
  ): { readonly ok: true; readonly value: Json } | { readonly ok: false; readonly error: string };
}

/** What templates can use. */
export interface TemplateValues {
  readonly parameters: Readonly<Record<string, Json>>;
  readonly task: string;
}

export interface ParameterRule {
  readonly name: string;
  readonly required: boolean;
  readonly default: Json | undefined;
  /** The fault in this value as a sentence, or null when it fits. Nothing is coerced. */
  fault(value: Json): string | null;
}

export interface Condition {
  /** The CEL expression, as written. */
  readonly expression: string;
  /** The names of the claims that it reads. */
  readonly claims: readonly string[];
  /** The names of the variables that it reads: `claims`, `parameters`, ... */
  readonly variables: readonly string[];
  /** True only if the expression is true. An error while evaluating is a reason to deny, and is returned. */
  holds(input: ConditionInput): { readonly holds: boolean; readonly error: string | null };
}

/** The variables of a condition. */
export interface ConditionInput {
  readonly claims: Readonly<Record<string, Json>>;
  readonly issuer: string;
  readonly subject: string;
  readonly task: string;
  readonly parameters: Readonly<Record<string, Json>>;
  readonly purpose: string;
  readonly ticket: string;
  /** Who acts for the subject, the nearest first. */
  readonly actors: readonly Pick<ActingParty, 'issuer' | 'subject' | 'claims'>[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** What somebody asks for. */
export interface Ask {
  readonly principal: Principal;
  readonly task: string;
  readonly purpose: string | null;
  readonly ticket: string | null;
  readonly parameters: Readonly<Record<string, Json>>;
  /** The names of the credentials; null: all that the grant names. */
  readonly credentials: readonly string[] | null;
  /** Null: each credential's default. */
  readonly ttlSeconds: number | null;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** A task grant's cut: what it leaves of the grant that it was cut from. Never wider than that (checked when it is made, and again when it is used). */
export interface Cut {
  /** The one task name. */
  readonly task: string;
  /** These values are fixed; the others may still be set by the request. */
  readonly parameters: Readonly<Record<string, Json>>;
  /** The names that are left; null: all. */
  readonly credentials: readonly string[] | null;
  readonly maxTtlSeconds: number | null;
  /** The subject that may use it, at the issuer; null: whoever the grant lets in. */
  readonly subject: { readonly issuer: string; readonly subject: string } | null;
}

/** A grant says yes, to exactly this. */
export interface Decision {
  readonly grant: string;
  readonly grantVersion: string;
  /** With the defaults filled in. */
  readonly parameters: Readonly<Record<string, Json>>;
  readonly credentials: readonly DecidedCredential[];
  readonly heartbeatSeconds: number | null;
  readonly limits: Grant['limits'];
  /** The claims that the grant looked at, by name, with their values: the ground of the decision, for the log. */
  readonly claims: Readonly<Record<string, Json>>;
  /** Likewise for those who act for the principal, the nearest first; absent when he acts himself. */
  readonly actors?: readonly Pick<ActingParty, 'issuer' | 'subject' | 'claims'>[];
}

export interface DecidedCredential {
  readonly name: string;
  readonly target: string;
  readonly provider: string;
  readonly scope: Json;
  readonly ttlSeconds: number;
  readonly capSeconds: number;
}

/** Why a grant says no. The caller hears one message for all of them; the log and `explain` have the detail. */
export interface PolicyRefusal {
  readonly reason:
    | 'principal'
    | 'task'
    | 'purpose'
    | 'ticket'
    | 'parameter'
    | 'credential'
    | 'ttl'
    | 'scope'
    | 'condition'
    | 'task-grant';
  /** For the operator. Holds no secret. */
  readonly detail: string;
  /** The claim whose value is in the detail; null where the principal has none. The log may have to leave it out. */
  readonly claim?: { readonly name: string; readonly value: Json };
}

/** One line of an explanation. */
export interface Check {
  /** What was looked at: `issuer`, `claims.repository_id`, `task`, `parameters.region`, `conditions[0]`, ... */
  readonly subject: string;
  readonly ok: boolean;
  readonly expected: string;
  readonly actual: string;
}
