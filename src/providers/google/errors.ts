import { z } from 'zod';
import { ProviderError, type ProviderErrorCode } from '../../errors.ts';

/** The names of google.rpc.Code to ours (https://cloud.google.com/apis/design/errors). */
const BY_NAME: Readonly<Record<string, ProviderErrorCode>> = {
  INVALID_ARGUMENT: 'target-refused',
  FAILED_PRECONDITION: 'target-refused',
  OUT_OF_RANGE: 'target-refused',
  NOT_FOUND: 'target-refused',
  PERMISSION_DENIED: 'target-forbidden',
  UNAUTHENTICATED: 'target-forbidden',
  RESOURCE_EXHAUSTED: 'target-throttled',
  UNAVAILABLE: 'target-unreachable',
  DEADLINE_EXCEEDED: 'target-timeout',
};

/** Status of the token exchange to ours. It refuses a broker that it does not trust with 400, 401 or 403. */
const BY_EXCHANGE_STATUS: Readonly<Record<number, ProviderErrorCode>> = {
  400: 'target-forbidden',
  401: 'target-forbidden',
  403: 'target-forbidden',
  404: 'target-forbidden',
  429: 'target-throttled',
  503: 'target-unreachable',
};

const errorSchema = z.object({
  error: z.object({ status: z.string().default(''), message: z.string().default('') }),
});
const exchangeErrorSchema = z.object({
  error: z.string(),
  error_description: z.string().default(''),
});

/** What the token exchange answered that is not success (RFC 6749 section 5.2). */
export function exchangeError(doing: string, status: number, body: unknown): ProviderError {
  const code = BY_EXCHANGE_STATUS[status] ?? (status < 500 ? 'target-refused' : 'target-failed');
  const read = exchangeErrorSchema.safeParse(body).data;
  const said = read === undefined ? `HTTP ${status}` : `${read.error}: ${read.error_description}`;
  return new ProviderError(code, `Cannot ${doing}: ${plain(said)}`, {
    vendorCode: read?.error ?? String(status),
  });
}

/** An error of Google's client as ours: what the API answered, or that there was no answer. */
export function googleError(doing: string, error: unknown): ProviderError {
  const ours = causes(error).find((cause) => cause instanceof ProviderError);
  if (ours !== undefined) return ours;
  for (const cause of causes(error)) {
    const { response, status: ownStatus } = cause as {
      readonly response?: { readonly status?: unknown; readonly data?: unknown };
      readonly status?: unknown;
    };
    const status = response?.status ?? ownStatus;
    if (typeof status !== 'number') continue;
    const read = errorSchema.safeParse(parse(response?.data)).data?.error;
    const code = BY_NAME[read?.status ?? ''] ?? (status >= 500 ? 'target-failed' : 'target-refused');
    const said = read?.message || `HTTP ${status}`;
    return new ProviderError(code, `Cannot ${doing}: ${plain(said)}`, {
      vendorCode: read?.status || String(status),
    });
  }
  // The network's own message may quote what was sent.
  return new ProviderError('target-unreachable', `Cannot ${doing}: no answer`);
}

function causes(error: unknown): object[] {
  const found: object[] = [];
  for (let e = error; e !== null && typeof e === 'object' && found.length < 5; ) {
    found.push(e);
    e = 'cause' in e ? e.cause : null;
  }
  return found;
}

function parse(data: unknown): unknown {
  if (typeof data !== 'string') return data;
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}

function plain(text: string): string {
  return text.replaceAll(/[\s\p{C}]+/gu, ' ').slice(0, 500);
}
