import { ProviderError, type ProviderErrorCode } from '../../errors.ts';
import { ofNodeCode } from '../../node-errors.ts';

/**
 * Names of AWS errors to ours, without the `Exception` that some carry (STS and IAM API references, "Errors" of each
 * action and "Common errors"). A refused call made nothing: AWS checks before it acts.
 */
const BY_NAME: Readonly<Record<string, ProviderErrorCode>> = {
  AccessDenied: 'target-forbidden',
  AuthFailure: 'target-forbidden',
  // Of our own credentials, or of our own token.
  ExpiredToken: 'target-forbidden',
  IDPRejectedClaim: 'target-forbidden',
  InvalidIdentityToken: 'target-forbidden',
  IncompleteSignature: 'target-forbidden',
  InvalidClientTokenId: 'target-forbidden',
  MissingAuthenticationToken: 'target-forbidden',
  NotAuthorized: 'target-forbidden',
  OptInRequired: 'target-forbidden',
  SignatureDoesNotMatch: 'target-forbidden',
  UnrecognizedClient: 'target-forbidden',
  // The SDK found no credentials, or could not get them: nothing was sent.
  CredentialsProviderError: 'target-forbidden',
  TokenProviderError: 'target-forbidden',

  IDPCommunicationError: 'target-refused',
  InvalidInput: 'target-refused',
  InvalidParameterCombination: 'target-refused',
  InvalidParameterValue: 'target-refused',
  InvalidQueryParameter: 'target-refused',
  LimitExceeded: 'target-refused',
  MalformedPolicyDocument: 'target-refused',
  MissingParameter: 'target-refused',
  NoSuchEntity: 'target-refused',
  PackedPolicyTooLarge: 'target-refused',
  RegionDisabled: 'target-refused',
  RequestExpired: 'target-refused',
  UnmodifiableEntity: 'target-refused',
  ValidationError: 'target-refused',
  Validation: 'target-refused',

  BandwidthLimitExceeded: 'target-throttled',
  ConcurrentModification: 'target-throttled',
  EntityTemporarilyUnmodifiable: 'target-throttled',
  PriorRequestNotComplete: 'target-throttled',
  RequestLimitExceeded: 'target-throttled',
  RequestThrottled: 'target-throttled',
  SlowDown: 'target-throttled',
  Throttled: 'target-throttled',
  Throttling: 'target-throttled',
  TooManyRequests: 'target-throttled',

  InternalError: 'target-failed',
  InternalFailure: 'target-failed',
  ServiceFailure: 'target-failed',
  ServiceUnavailable: 'target-failed',

  AbortError: 'target-timeout',
  RequestTimeout: 'target-timeout',
  TimeoutError: 'target-timeout',
};

/** What the SDK puts on its errors, as far as it is looked at. */
interface SdkError {
  readonly name: string;
  readonly message: string;
  readonly code?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> };
}

/** The name that AWS gave an error, without `Exception`; of ours, the vendor's code. */
export function awsName(error: unknown): string | undefined {
  if (error instanceof ProviderError) return error.vendorCode;
  return error instanceof Error ? error.name.replace(/Exception$/, '') : undefined;
}

/**
 * An error of the SDK as ours. Its message is kept, for it names the right that is missing; what looks like a key or
 * a token is taken out, and the error itself is not kept, since it holds the whole exchange.
 */
export function providerError(doing: string, error: unknown, signal?: AbortSignal): ProviderError {
  if (error instanceof ProviderError) return error;
  if (!(error instanceof Error))
    return new ProviderError('target-failed', `Cannot ${doing}: ${typeof error} was thrown`);
  const known = error as SdkError;
  const name = awsName(error) ?? '';
  const nodeCode = typeof known.code === 'string' ? known.code : undefined;
  const code = signal?.aborted ? 'target-timeout' : codeOf(name, nodeCode, known.$metadata?.httpStatusCode);
  const retryAfterMs = retryAfter(known);
  const said = withoutSecrets(known.message || causesOf(error) || 'no reason given');
  return new ProviderError(code, `Cannot ${doing}: ${said}`, {
    vendorCode: nodeCode ?? name,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

function codeOf(name: string, nodeCode: string | undefined, status: number | undefined): ProviderErrorCode {
  // Before the name: the SDK calls a connection that breaks a TimeoutError.
  const known = (nodeCode === undefined ? undefined : ofNodeCode(nodeCode)) ?? BY_NAME[name];
  if (known) return known;
  if (status === 429) return 'target-throttled';
  if (status === 401 || status === 403) return 'target-forbidden';
  if (status !== undefined && status >= 400 && status < 500) return 'target-refused';
  return 'target-failed';
}

function retryAfter({ $response }: SdkError): number | undefined {
  const seconds = Number($response?.headers?.['retry-after']);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 3600) * 1000 : undefined;
}

/** Node tries all addresses of a name, and packs what went wrong with each into an error without a message. */
function causesOf(error: Error): string {
  return error instanceof AggregateError ? error.errors.map(String).join('; ') : '';
}

/** A complaint about a signature quotes the request, and with it the session token; others quote tokens. */
function withoutSecrets(text: string): string {
  return text
    .replace(/eyJ[\w-]+\.[\w-]*(\.[\w-]*)*/g, '[token]')
    .replace(/[A-Za-z0-9+/=]{40,}/g, '[redacted]')
    .slice(0, 1_000);
}
