import type { SinkSettings } from '../export/create.ts';
import type { AccessRule } from '../grants/access.ts';
import type { Grant, Human, PrincipalMatcher } from '../grants/grant.ts';
import type { AttestorKind, FallbackTerms } from '../identity/attestor.ts';
import type { KeySettings } from '../issuer/compose.ts';
import type { ChannelSettings } from '../notify/create.ts';
import type { ProviderKind } from '../providers/provider.ts';
import type { SignalSettings } from '../signals/compose.ts';
import type { ConfigFault } from './report.ts';
import type { SignInConfig } from './sign-in.ts';

/** The configuration as the broker uses it: parsed once, checked, files and variables read. */
export interface Config {
  readonly path: string;
  /** Names what is in force, for the log. Secrets are not in it. */
  readonly digest: string;
  readonly broker: BrokerConfig;
  /** Null: the embedded store. The URL may hold a password. */
  readonly database: { readonly url: string } | null;
  /** How the broker signs its own tokens; `masterKey` is a secret. Null: as the store allows. */
  readonly keys: KeySettings | null;
  readonly issuers: ReadonlyMap<string, ConfiguredIssuer>;
  readonly targets: ReadonlyMap<string, ConfiguredTarget>;
  readonly grants: ReadonlyMap<string, Grant>;
  /** Names of grants whose open tasks end. None of them is in `grants`. */
  readonly withdrawn: ReadonlySet<string>;
  readonly access: readonly AccessRule[];
  /** Who is who, where one human has several identities. */
  readonly people: readonly Human[];
  /** Where people sign in; null: nowhere. */
  readonly signIn: SignInConfig | null;
  readonly audit: AuditConfig;
  /** Who is told of what happens. Some hold secrets. */
  readonly notifications: readonly ChannelSettings[];
  /** `authorization` of a receiver is a secret. */
  readonly signals: SignalSettings;
  /** Digests of the parts of the configuration by their names, to tell what changed. Secrets are not in them. */
  readonly parts: Readonly<Record<string, string>>;
  readonly log: { readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent' };
  /** What is allowed and not advised. */
  readonly warnings: readonly ConfigFault[];
}

export interface AuditConfig {
  /** PEM; a secret. Null: made in the state directory. */
  readonly logKey: string | null;
  readonly isPublic: boolean;
  readonly sensitiveClaims: readonly string[];
  /** Where the log is sent. Some hold secrets. */
  readonly exports: readonly SinkSettings[];
  /** Whose audit trails are delivered here. Some hold secrets. */
  readonly trails: readonly TrailConfig[];
  readonly witnesses: readonly { readonly url: string; readonly key: string }[];
}

/** An audit trail, and what its deliveries bear. */
export interface TrailConfig {
  readonly name: string;
  readonly type: 'cloudtrail' | 'google-audit';
  readonly targets: readonly string[];
  readonly from: { readonly secret: string } | { readonly who: PrincipalMatcher };
}

export interface BrokerConfig {
  /** Without a slash at its end. */
  readonly url: string;
  readonly name: string;
  readonly listen: { readonly host: string; readonly port: number };
  /** PEM; `key` is a secret. */
  readonly tls: {
    readonly cert: string;
    readonly key: string;
    /** Whether clients are asked for certificates. */
    readonly clientCertificates: boolean;
  } | null;
  /** Absolute. */
  readonly stateDirectory: string;
  /** What the configuration sets; the broker's own limits hold for the others. */
  readonly limits: {
    readonly bodyBytes?: number;
    readonly requestsPerSecond?: number;
    readonly mintingPerTarget?: number;
    readonly endingPerTarget?: number;
    readonly mintTimeoutSeconds?: number;
    readonly endTimeoutSeconds?: number;
    readonly observeEverySeconds?: number;
  };
}

/** `kind.create(name, settings, runtime)` makes its attestor. */
export interface ConfiguredIssuer {
  readonly name: string;
  readonly kind: AttestorKind;
  readonly settings: unknown;
  /** Present when it stands in for another issuer while that one is away. */
  readonly fallback?: FallbackTerms;
}

/** `kind.open(settings, context)` opens it. The settings may hold secrets. */
export interface ConfiguredTarget {
  readonly name: string;
  readonly kind: ProviderKind;
  readonly settings: unknown;
  /** The scopes that grants ask of it, as they are written. */
  readonly scopes: readonly unknown[];
}

/** The kinds by name, each loaded when it is first used. */
export type Kinds<Kind> = Readonly<Record<string, () => Promise<Kind>>>;
