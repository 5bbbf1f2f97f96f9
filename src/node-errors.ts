import type { ProviderErrorCode } from './errors.ts';

/**
 * Codes of Node's own errors on the way to a target. A certificate that we do not accept is our refusal: the handshake
 * ends before anything is sent. https://nodejs.org/api/errors.html, "OpenSSL error codes"
 */
const BY_CODE: Readonly<Record<string, ProviderErrorCode>> = {
  ECONNREFUSED: 'target-unreachable',
  ECONNRESET: 'target-unreachable',
  ECONNABORTED: 'target-unreachable',
  EPIPE: 'target-unreachable',
  ETIMEDOUT: 'target-unreachable',
  EHOSTUNREACH: 'target-unreachable',
  EHOSTDOWN: 'target-unreachable',
  ENETUNREACH: 'target-unreachable',
  ENOTFOUND: 'target-unreachable',
  EAI_AGAIN: 'target-unreachable',

  CERT_CHAIN_TOO_LONG: 'target-refused',
  CERT_HAS_EXPIRED: 'target-refused',
  CERT_NOT_YET_VALID: 'target-refused',
  CERT_REJECTED: 'target-refused',
  CERT_REVOKED: 'target-refused',
  CERT_SIGNATURE_FAILURE: 'target-refused',
  CERT_UNTRUSTED: 'target-refused',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'target-refused',
  ERR_TLS_CERT_ALTNAME_FORMAT: 'target-refused',
  ERR_TLS_CERT_ALTNAME_INVALID: 'target-refused',
  HOSTNAME_MISMATCH: 'target-refused',
  INVALID_CA: 'target-refused',
  INVALID_PURPOSE: 'target-refused',
  PATH_LENGTH_EXCEEDED: 'target-refused',
  SELF_SIGNED_CERT_IN_CHAIN: 'target-refused',
  UNABLE_TO_GET_ISSUER_CERT: 'target-refused',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'target-refused',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'target-refused',
};

/** What a code of Node's says of a call to a target; undefined for codes of others. */
export function ofNodeCode(code: string): ProviderErrorCode | undefined {
  return Object.hasOwn(BY_CODE, code) ? BY_CODE[code] : undefined;
}
