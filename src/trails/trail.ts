/** One use of a credential as the audit trail of a cloud tells it. */
export interface TrailUse {
  /** The trail's own id of the event. */
  readonly event: string;
  /** Milliseconds since the epoch, by the clock of the cloud. */
  readonly at: number;
  /** The service and the call. */
  readonly action: string;
  readonly address: string | null;
  readonly application: string | null;
  /** Why the cloud refused the call; null when it did not. */
  readonly error: string | null;
  readonly credential: TrailCredential;
}

/** What the trail says of the credential. */
export type TrailCredential =
  /** A session of a role: its source identity stays with it whatever roles it assumes; its name is of this role alone. */
  | {
      readonly kind: 'session';
      readonly sourceIdentity: string | null;
      readonly session: string | null;
      readonly roleArn: string | null;
    }
  /** A token of an account, and of no lease in particular. */
  | { readonly kind: 'account'; readonly account: string };

/** The kinds of trail, as the configuration names them. */
export type TrailType = 'cloudtrail' | 'google-audit';
