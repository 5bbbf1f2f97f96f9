import type { Credential } from '../../client/task.ts';
import type { Secret } from '../../http/contract.ts';

/** What clients that are not ours read. Each shape is made from a secret's members, whatever provider gave them. */

export const isAws = ({ values }: Secret) => values.access_key_id !== undefined;
export const isGoogle = ({ values }: Secret) => values.access_token !== undefined;

/** The only credential of its kind, or the one with this name; null when there is none or no telling which. */
export function pick(
  credentials: readonly Credential[],
  fits: (secret: Secret) => boolean,
  name?: string,
): Credential | null {
  const found = credentials.filter((one) => fits(one.secret) && (name === undefined || one.name === name));
  return found.length === 1 ? (found[0] ?? null) : null;
}

/** When it ends, by its own word or its lease's: whichever comes first. */
export function expiryOf({ lease, secret }: Credential): Date {
  const own = secret.values.expiration ?? secret.values.expires_at;
  const stated = own === undefined ? Number.NaN : Date.parse(own);
  const leased = Date.parse(lease.expires_at);
  return new Date(Number.isNaN(stated) ? leased : Math.min(stated, leased));
}

/** AWS SDKs and Tools Reference Guide, "Process credential provider". */
export function awsProcess(credential: Credential): object {
  const { AccessKeyId, SecretAccessKey, Token, Expiration } = awsContainer(credential);
  return { Version: 1, AccessKeyId, SecretAccessKey, SessionToken: Token, Expiration };
}

/** AWS SDKs and Tools Reference Guide, "Container credential provider". */
export function awsContainer(credential: Credential) {
  const { values } = credential.secret;
  return {
    AccessKeyId: values.access_key_id,
    SecretAccessKey: values.secret_access_key,
    Token: values.session_token,
    // To the second: some readers know no fractions.
    Expiration: `${expiryOf(credential).toISOString().slice(0, 19)}Z`,
  };
}

/** Google Cloud, "Compute Engine metadata server": how long an access token lives is in seconds from now. */
export function googleToken(credential: Credential, now: number) {
  const seconds = Math.floor((expiryOf(credential).getTime() - now) / 1000);
  return {
    access_token: credential.secret.values.access_token,
    expires_in: Math.max(seconds, 0),
    token_type: 'Bearer',
  };
}
