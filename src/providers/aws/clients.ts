import { IAMClient } from '@aws-sdk/client-iam';
import { AssumeRoleCommand, AssumeRoleWithWebIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { ProviderError } from '../../errors.ts';
import type { Json } from '../../json.ts';
import type { TargetContext } from '../provider.ts';
import { providerError } from './errors.ts';
import {
  CONNECT_TIMEOUT_MS,
  IDENTITY_TOKEN_SECONDS,
  MAX_ATTEMPTS,
  REQUEST_TIMEOUT_MS,
  SHORTEST_SESSION_SECONDS,
} from './limits.ts';
import type { AwsSettings } from './settings.ts';

/** What the parts of this provider share: one target's settings, the outside world, and its clients. */
export interface AwsContext {
  readonly settings: AwsSettings;
  readonly target: TargetContext;
  readonly clients: Clients;
}

/** Clients of one target. They connect when they are first used. */
export interface Clients {
  readonly sts: STSClient;
  /** With the rights to write denials. */
  readonly iam: IAMClient;
  /** A client of somebody else: a session that was minted. */
  stsAs(credentials: AwsKeys): STSClient;
  close(): void;
}

/** Keys as the SDK takes them. */
export interface AwsKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

export function createClients(settings: AwsSettings, target: TargetContext): Clients {
  const { credentials, insecure_endpoints: endpoints, region, denial } = settings;
  const common = {
    region,
    maxAttempts: MAX_ATTEMPTS,
    retryMode: 'standard',
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
    },
  };
  const stsConfig = { ...common, ...(endpoints?.sts === undefined ? {} : { endpoint: endpoints.sts }) };
  const own = credentials.source === 'static' ? { credentials: staticKeys(credentials) } : {};
  const sts = new STSClient({ ...stsConfig, ...own });
  const via = denial?.via_role_arn;
  const iam = new IAMClient({
    ...common,
    ...(endpoints?.iam === undefined ? {} : { endpoint: endpoints.iam }),
    ...(via === undefined ? own : { credentials: () => keysOfRole(sts, settings, target, via) }),
  });
  return {
    sts,
    iam,
    stsAs: (keys) => new STSClient({ ...stsConfig, credentials: keys }),
    close() {
      sts.destroy();
      iam.destroy();
    },
  };
}

type StaticCredentials = Extract<AwsSettings['credentials'], { source: 'static' }>;

function staticKeys({ access_key_id, secret_access_key, session_token }: StaticCredentials): AwsKeys {
  return {
    accessKeyId: access_key_id,
    secretAccessKey: secret_access_key,
    ...(session_token === undefined ? {} : { sessionToken: session_token }),
  };
}

/** A session of the broker's own, for writing denials. The SDK asks again when it is about to lapse. */
async function keysOfRole(
  sts: STSClient,
  settings: AwsSettings,
  target: TargetContext,
  roleArn: string,
): Promise<AwsKeys> {
  const session = {
    RoleArn: roleArn,
    RoleSessionName: `hallpass-${target.mark.replace(/[^\w]/g, '')}`.slice(0, 64),
    DurationSeconds: SHORTEST_SESSION_SECONDS,
  };
  const { Credentials } =
    settings.credentials.source === 'web_identity'
      ? await sts.send(
          new AssumeRoleWithWebIdentityCommand({
            ...session,
            WebIdentityToken: await identityToken(settings, target, {}),
          }),
        )
      : await sts.send(new AssumeRoleCommand(session));
  return keysOf(Credentials);
}

/** Credentials of an answer, all of them. */
export function keysOf(
  answer:
    | {
        readonly AccessKeyId?: string | undefined;
        readonly SecretAccessKey?: string | undefined;
        readonly SessionToken?: string | undefined;
        readonly Expiration?: Date | undefined;
      }
    | undefined,
): Required<AwsKeys> {
  const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = answer ?? {};
  if (!AccessKeyId || !SecretAccessKey || !SessionToken || !Expiration)
    throw new ProviderError(
      'target-failed',
      'Cannot use the session: STS left out a part of its credentials',
    );
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: SessionToken,
    expiration: Expiration,
  };
}

/** A token of the broker's own issuer, by which STS knows us. */
export async function identityToken(
  { credentials }: AwsSettings,
  { identityToken: sign }: TargetContext,
  claims: Readonly<Record<string, Json>>,
): Promise<string> {
  const doing = 'prove to AWS who the broker is';
  if (credentials.source !== 'web_identity' || sign === undefined)
    throw new ProviderError(
      'target-forbidden',
      `Cannot ${doing}: this broker is no issuer: configure it as one`,
    );
  try {
    return await sign(credentials.audience, claims, IDENTITY_TOKEN_SECONDS);
  } catch (error) {
    // Nothing was sent to AWS.
    const { message } = providerError(doing, error);
    throw new ProviderError('target-forbidden', message);
  }
}
