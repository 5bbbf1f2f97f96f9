/** Every code that a thrown error of ours can carry. Branch on these, never on message text. */
export type ErrorCode =
  | 'config-invalid'
  | 'store-unavailable'
  | 'store-conflict'
  | 'store-schema'
  /** The key management service that guards the master key does not answer. */
  | 'kms-unavailable'
  | 'overloaded'
  /** This process must not go by its clock: nothing was done. */
  | 'not-ready'
  | 'stopped'
  | 'timeout'
  | ProviderErrorCode;

/** What a target can answer that is not success. Providers map their vendor's errors to these in a table. */
export type ProviderErrorCode =
  /** Nobody answered, or the connection broke: whether the call took effect is unknown. */
  | 'target-unreachable'
  /** No answer in time: whether the call took effect is unknown. */
  | 'target-timeout'
  /** The target asks us to slow down; the call did not take effect. */
  | 'target-throttled'
  /** The broker's own rights at the target do not suffice; the call did not take effect. */
  | 'target-forbidden'
  /** The target understood and refused what was asked; the call did not take effect. */
  | 'target-refused'
  /** The target failed inside: whether the call took effect is unknown. */
  | 'target-failed';

/** An error of ours: a stable code, a message for the operator that holds no secret, and its cause. */
export class HallpassError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'HallpassError';
    this.code = code;
  }
}

/**
 * A provider's call that did not succeed. The code says whether it can have taken effect:
 * throttled, forbidden and refused calls did not; all others may have.
 */
export class ProviderError extends HallpassError {
  declare readonly code: ProviderErrorCode;
  /** The vendor's own code (an SQLSTATE, an AWS error name), for the operator. */
  readonly vendorCode: string | undefined;
  /** When the target said that it may be asked again, in milliseconds from now. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ProviderErrorCode,
    message: string,
    options: ErrorOptions & { vendorCode?: string; retryAfterMs?: number } = {},
  ) {
    super(code, message, options);
    this.name = 'ProviderError';
    this.vendorCode = options.vendorCode;
    this.retryAfterMs = options.retryAfterMs;
  }
}

const WITHOUT_EFFECT: ReadonlySet<ProviderErrorCode> = new Set([
  'target-throttled',
  'target-forbidden',
  'target-refused',
]);

/** Whether the failed call may nevertheless have taken effect at the target. Anything unknown may. */
export function mayHaveTakenEffect(error: unknown): boolean {
  return !(error instanceof ProviderError && WITHOUT_EFFECT.has(error.code));
}

/** A failure that came after something was made: where it says that it had no effect, it is told as one that may have. */
export function afterEffect(error: ProviderError, also = ''): ProviderError {
  if (mayHaveTakenEffect(error)) return error;
  const { message, vendorCode } = error;
  return new ProviderError(
    'target-failed',
    `${message}${also}`,
    vendorCode === undefined ? {} : { vendorCode },
  );
}
