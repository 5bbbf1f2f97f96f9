import { ProviderError, type ProviderErrorCode } from '../../errors.ts';

/**
 * Status to ours (https://developer.hashicorp.com/vault/api-docs#http-status-codes). A request that Vault refuses has no
 * effect; one that it fails at may have.
 */
const BY_STATUS: Readonly<Record<number, ProviderErrorCode>> = {
  400: 'target-refused',
  401: 'target-forbidden',
  403: 'target-forbidden',
  404: 'target-refused',
  405: 'target-refused',
  412: 'target-throttled', // a replica that has not caught up
  413: 'target-refused',
  429: 'target-throttled',
  472: 'target-unreachable', // disaster recovery secondary
  473: 'target-unreachable', // performance standby
  500: 'target-failed',
  502: 'target-failed', // what Vault itself asked did not answer
  503: 'target-unreachable', // sealed, or down for maintenance
  504: 'target-unreachable',
};

/** What Vault answered that is not success. */
export function vaultError(
  doing: string,
  status: number,
  errors: readonly string[],
  retryAfterMs: number | undefined,
): ProviderError {
  const code = BY_STATUS[status] ?? (status >= 300 && status < 500 ? 'target-refused' : 'target-failed');
  const redirected = status >= 300 && status < 400;
  const said = redirected
    ? 'it redirects, which is not followed: write the address of the active node or of the load balancer'
    : (
        errors.map((text) => text.replaceAll(/[\s\p{C}]+/gu, ' ').trim()).join('; ') || 'no reason given'
      ).slice(0, 500);
  return new ProviderError(code, `Cannot ${doing}: ${said}`, {
    vendorCode: String(status),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/**
 * Whether Vault says that it knows no such accessor or lease. It has no code for that, and the status is the one of
 * many other refusals: its sentence is all there is.
 */
export function saysUnknown(error: unknown, what: 'accessor' | 'lease'): boolean {
  if (!(error instanceof ProviderError) || !['400', '403', '404'].includes(error.vendorCode ?? ''))
    return false;
  return error.message.includes(`invalid ${what}`) || error.message.includes(`${what} not found`);
}
