import type { ZodType } from 'zod';
import type { Json } from '../json.ts';
import type { Runtime } from '../runtime.ts';

/**
 * The version of this interface. A provider that comes as a package exports it as `interfaceVersion`: one that was made
 * for another is not loaded.
 */
export const PROVIDER_INTERFACE_VERSION = 1;

/**
 * A kind of target: what a configuration may say of it, what it promises, and how to open one.
 * A folder under `providers/` exports exactly one as `provider`. It is loaded only when a target names it.
 */
export interface ProviderKind<Settings = unknown, Scope = unknown> {
  /** The name in the configuration, for instance `postgres`. */
  readonly kind: string;
  /**
   * A target's settings in the configuration. Secrets arrive as values: wherever this names a string `x`, the operator
   * may write `x_file: path` or `x_env: NAME`, and `config/` has read it by then. A member that is a secret says so by
   * `.meta({ secret: true })`: it cannot be written in clear, and is kept out of the configuration's digest.
   */
  readonly settings: ZodType<Settings>;
  /** What a grant may ask of such a target, after templates are filled in. */
  readonly scope: ZodType<Scope>;
  /** The shortest and the longest lifetime that such a target can give. */
  readonly ttl: { readonly shortestSeconds: number; readonly longestSeconds: number };
  /** Whether the target itself refuses the credential after `expiresAt`, whatever happens to us. */
  readonly targetExpires: boolean;
  /**
   * How a lease that was left in `minting` is settled: `from-lease-id` when `end` finds whatever was made by the
   * lease's name alone; `bounded-by-ttl` when nobody received it and it lapses by itself: where ends are
   * `confirmed`, `end` without a handle then says so by `lapsesAt`. That it finds nothing is never taken for
   * `never-minted`.
   */
  readonly settles: 'from-lease-id' | 'bounded-by-ttl';
  /** How request parameters enter the strings of a scope. */
  readonly templating: Templating;
  /**
   * Scopes that are too wide or dangerous. Called at load with the scope as it is written, templates and all
   * (its parts have their types by then), and with what comes of it whenever its templates are filled in. Each fault
   * is a sentence that says what to write instead.
   */
  refuseScope?(scope: unknown, settings: Settings): readonly string[];
  /** What is allowed in settings and not advised, each a sentence: `hallpass check` says it. */
  cautions?(settings: Settings): readonly string[];
  /** Makes a live target. Opens connections lazily; does not fail because the target is down. */
  open(settings: Settings, context: TargetContext): Target<Scope>;
}

/** How a parameter's value is made safe for the place in the scope where it lands. */
export interface Templating {
  /** Named filters, used as `{{ parameters.table | identifier }}`. A filter throws RangeError for a value that it cannot make safe. */
  readonly filters: Readonly<Record<string, (value: string) => string>>;
  /** The filter for a template that names none, by its path in the scope; `null` means that one must be named. */
  defaultFilter(path: readonly (string | number)[]): string | null;
}

/** What the broker gives to every target that it opens. */
export interface TargetContext {
  readonly runtime: Runtime;
  /** The target's name in the configuration. */
  readonly target: string;
  /** How the names of all our credentials begin: `hp_` and this installation's four characters and `_`. */
  readonly mark: string;
  /**
   * A JWT by which this broker proves to `audience` who it is, signed as the OpenID Connect issuer at the broker's URL
   * (subject `hallpass:target:` and the target's name). Registered claims cannot be set; 1 to 3600 seconds. Absent where
   * the broker has no signing keys. Throws RangeError for what it does not sign.
   */
  identityToken?(
    audience: string,
    claims: Readonly<Record<string, Json>>,
    ttlSeconds: number,
  ): Promise<string>;
}

/** One configured instance of a provider. How it ends is in its type: a capability that is absent is absent here. */
export type Target<Scope = unknown> = EndableTarget<Scope> | LapsingTarget<Scope>;

interface TargetBase<Scope> {
  /**
   * Makes a credential. Called once for a lease, after its intent is committed, never retried by the broker.
   * Must make nothing after `terms.mintBefore`, must not let it live past `terms.expiresAt`, and names it
   * `terms.name`. Throws ProviderError; after one that may have taken effect the broker ends the lease by its name.
   */
  mint(scope: Scope, terms: Terms, signal: AbortSignal): Promise<Minted>;
  /**
   * Moves the end of a live credential to `terms.expiresAt`, which is already committed. Idempotent.
   * Absent where the target cannot: the broker then refuses renewals.
   */
  extend?(ending: Ending, expiresAt: number, signal: AbortSignal): Promise<void>;
  /** All credentials at the target whose name begins with our mark, in any order. For the orphan sweep. */
  inventory?(signal: AbortSignal): AsyncIterable<{ readonly name: string }>;
  /**
   * The sessions that credentials whose name begins with our mark have open now. Called again and again while the
   * broker runs, by one replica at a time. Absent where the target does not show them.
   */
  observe?(signal: AbortSignal): Promise<Sightings>;
  /**
   * Mints and ends a real credential with the configured rights, and says by name what is missing. `scopes` are those
   * that the grants ask of this target, as the configuration writes them: templates are not filled in.
   */
  selfTest(signal: AbortSignal, scopes?: readonly unknown[]): Promise<SelfTest>;
  /** Gives back connections. Called once, when nothing is in flight. */
  close(): Promise<void>;
}

/** A target where a credential can be ended before its time. */
export interface EndableTarget<Scope = unknown> extends TargetBase<Scope> {
  readonly ends: 'confirmed' | 'denied';
  /**
   * Ends a credential and its sessions. Called by whichever process holds the lease's claim, again and again until
   * it succeeds; a call may follow one that succeeded without our hearing of it. Absence is success.
   * Resolves only when the target has confirmed it; throws ProviderError otherwise.
   */
  end(ending: Ending, signal: AbortSignal): Promise<Ended>;
  /** Removes what endings left at the target and nobody needs any more. Called now and then, by the orphan sweep. */
  tidy?(signal: AbortSignal): Promise<void>;
}

/** A target whose credentials only lapse. */
export interface LapsingTarget<Scope = unknown> extends TargetBase<Scope> {
  readonly ends: 'expiry-only';
}

/** The terms of one credential, fixed and committed before minting. */
export interface Terms {
  readonly leaseId: string;
  /** The credential's external name: the mark and the lease's id. At most 40 characters of `[a-z0-9_]`. */
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Nothing may come into being at the target after this instant. Milliseconds since the epoch. */
  readonly mintBefore: number;
  /** The credential must be dead at the target by this instant, if the target can see to that. Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** Whom and what it is for, for tags and comments at the target. Unescaped, from outside, not secret. */
  readonly context: {
    readonly issuer: string;
    readonly subject: string;
    readonly grant: string;
    readonly task: string;
    readonly taskId: string;
    readonly purpose: string | null;
  };
}

/** A secret on its way to the requester. It is never stored or logged (invariant 5). */
export interface Secret {
  /** What it is, so that a client knows how to hand it to a program: `postgres`, `aws`, ... */
  readonly type: string;
  readonly values: Readonly<Record<string, string>>;
}

export interface Minted {
  readonly secret: Secret;
  /** Whatever `end` and `extend` need, including the settings that ending depends on. Stored in clear: no secret. */
  readonly handle: Json;
  /** When the target will refuse it by itself, or the lease's expiry where it cannot. Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** The credential to end or extend. */
export interface Ending {
  readonly leaseId: string;
  readonly name: string;
  /** From `mint`; `null` when minting never answered, or when an orphan is ended. */
  readonly handle: Json;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** What the target confirmed. */
export interface Ended {
  /** Whether anything bearing the name was still there when we came. */
  readonly found: boolean;
  /** What was seen and done at the target, for the log. No secret. */
  readonly evidence: Json;
  /** For `denied`: when the denial is in force everywhere by the vendor's word. Milliseconds since the epoch. */
  readonly effectiveAt?: number;
  /**
   * Something of it cannot be withdrawn, or is not known to have been made, and lapses by itself at this instant. The
   * broker waits for it, and then the outcome is `expired`. Milliseconds since the epoch.
   */
  readonly lapsesAt?: number;
  /**
   * The sessions that were open when this call came, for targets that show them by `observe`: the broker's last look.
   * A bounded number.
   */
  readonly sessions?: readonly Sighting[];
  /** For `denied`: its own time was up before it was denied. It then has expired, and nothing was written. */
  readonly lapsed?: true;
}

/** What is open at a target. */
export interface Sightings {
  readonly sessions: readonly (Sighting & { readonly name: string })[];
  /** Whether these are all: not when there are more than one look can take. */
  readonly complete: boolean;
}

/** One use of a credential, or several that look the same. What the target hides is null. */
export interface Sighting {
  readonly address: string | null;
  /** What the client says of itself: text from outside. */
  readonly application: string | null;
  /** When the first of them began by the target's clock. Milliseconds since the epoch. */
  readonly since: number | null;
}

export interface SelfTest {
  readonly ok: boolean;
  /** What was tried, in order. */
  readonly steps: readonly { readonly name: string; readonly ok: boolean; readonly detail?: string }[];
  /** The rights that are missing, by the target's own names, and what to run or paste to give them. */
  readonly remedies: readonly string[];
}
