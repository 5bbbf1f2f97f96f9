/** Events of the Shared Signals Framework 1.0 and of CAEP 1.0, by their URIs. */
export const SESSION_REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';
export const CREDENTIAL_CHANGE = 'https://schemas.openid.net/secevent/caep/event-type/credential-change';
/** Asks only whether we are there. */
export const VERIFICATION = 'https://schemas.openid.net/secevent/ssf/event-type/verification';
export const STREAM_UPDATED = 'https://schemas.openid.net/secevent/ssf/event-type/stream-updated';

/** The media type of a security event token, and the `typ` in its header. */
export const SET_MEDIA_TYPE = 'application/secevent+jwt';
export const SET_TYPES: ReadonlySet<string> = new Set(['secevent+jwt']);

/** How the issuer of whoever acts by a signal is written: no issuer of the configuration can be called so. */
export const SIGNAL_ISSUER_PREFIX = 'signals:';
