import type { Secret } from '../../http/contract.ts';
import type { Delivery } from './delivery.ts';

/**
 * For the AWS SDKs and whatever reads their variables. They look at the environment before profiles, containers and
 * instances, so that keys of a profile do not win; a profile that is named does in some of them, and is hidden.
 */
export function deliverAws(secret: Secret): Delivery {
  return {
    env: awsVariables(secret),
    files: {},
    overriding: [
      'AWS_PROFILE',
      'AWS_DEFAULT_PROFILE',
      // Older names of the same, which some SDKs still read.
      'AWS_SECURITY_TOKEN',
      'AWS_ACCESS_KEY',
      'AWS_SECRET_KEY',
    ],
    // Seen only where a prefix keeps the session out of the usual variables.
    suspicious: ['AWS_ACCESS_KEY_ID'],
  };
}

/** The variables of a session (AWS SDKs and Tools reference guide, "Environment variables"). */
export function awsVariables({ values }: Secret): Record<string, string> {
  const { access_key_id = '', secret_access_key = '', session_token = '', region, expiration } = values;
  return {
    AWS_ACCESS_KEY_ID: access_key_id,
    AWS_SECRET_ACCESS_KEY: secret_access_key,
    AWS_SESSION_TOKEN: session_token,
    ...(region === undefined ? {} : { AWS_REGION: region, AWS_DEFAULT_REGION: region }),
    ...(expiration === undefined ? {} : { AWS_CREDENTIAL_EXPIRATION: expiration }),
  };
}
