import { DecryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { HallpassError } from '../errors.ts';
import type { DataKeys } from './kms-keys.ts';
import { KMS_TIMEOUT_MS, MASTER_KEY_BYTES } from './limits.ts';

export interface AwsKmsSettings {
  readonly keyArn: string;
  /** Keys that older envelopes need, or that newer replicas seal under. */
  readonly alsoOpens: readonly string[];
  /** Null: where AWS has it. */
  readonly endpoint: string | null;
}

/**
 * Keys of AWS KMS: GenerateDataKey makes, Decrypt opens, both bound to the issuer's URL by the encryption context. The
 * SDK's default chain finds the broker's own credentials: the instance's, the pod's, the environment's.
 */
export function awsKms({ keyArn, alsoOpens, endpoint }: AwsKmsSettings, issuerUrl: string): DataKeys {
  const EncryptionContext = { [CONTEXT_KEY]: issuerUrl };
  const clients = new Map<string, KMSClient>();

  function clientOf(arn: string): KMSClient {
    const region = arn.split(':')[3] ?? '';
    const known = clients.get(region);
    if (known !== undefined) return known;
    const client = new KMSClient({
      region,
      // Who asks repeats it, in its own time.
      maxAttempts: 1,
      requestHandler: {
        connectionTimeout: KMS_TIMEOUT_MS,
        requestTimeout: KMS_TIMEOUT_MS,
        throwOnRequestTimeout: true,
      },
      ...(endpoint === null ? {} : { endpoint }),
    });
    clients.set(region, client);
    return client;
  }

  return {
    keyIds: [keyArn, ...alsoOpens],
    // Nothing is kept before or after: a key that was made and not used is forgotten.
    async make() {
      const doing = 'have a data key made';
      const { Plaintext, CiphertextBlob } = await clientOf(keyArn)
        .send(new GenerateDataKeyCommand({ KeyId: keyArn, KeySpec: 'AES_256', EncryptionContext }))
        .catch((error: unknown) => {
          throw kmsError(doing, keyArn, error);
        });
      if (Plaintext?.length !== MASTER_KEY_BYTES || CiphertextBlob === undefined) throw strange(doing);
      return { key: Plaintext, wrapped: Buffer.from(CiphertextBlob).toString('base64') };
    },
    async unwrap(keyId, wrapped) {
      const doing = 'have a data key opened';
      const CiphertextBlob = Buffer.from(wrapped, 'base64');
      const { Plaintext } = await clientOf(keyId)
        .send(new DecryptCommand({ KeyId: keyId, CiphertextBlob, EncryptionContext }))
        .catch((error: unknown) => {
          throw kmsError(doing, keyId, error);
        });
      if (Plaintext?.length !== MASTER_KEY_BYTES) throw strange(doing);
      return Plaintext;
    },
  };
}

const CONTEXT_KEY = 'hallpass:issuer';

/** The least rights of a broker at its keys, as a policy to paste. */
export function awsKmsPolicy({ keyArn, alsoOpens }: AwsKmsSettings, issuerUrl: string): string {
  const Condition = { StringEquals: { [`kms:EncryptionContext:${CONTEXT_KEY}`]: issuerUrl } };
  const Statement = [
    { Effect: 'Allow', Action: ['kms:GenerateDataKey', 'kms:Decrypt'], Resource: keyArn, Condition },
    ...(alsoOpens.length === 0
      ? []
      : [{ Effect: 'Allow', Action: 'kms:Decrypt', Resource: [...alsoOpens], Condition }]),
  ];
  return JSON.stringify({ Version: '2012-10-17', Statement }, null, 2);
}

/** What to do about a refusal, by the name that AWS gives it (KMS API Reference, "Errors" of both actions). */
const ADVICE: Readonly<Record<string, string>> = {
  AccessDeniedException: 'give the broker kms:GenerateDataKey and kms:Decrypt on it',
  NotFoundException: 'there is no such key; mend keys.aws_kms',
  DisabledException: 'the key is disabled; enable it',
  KMSInvalidStateException: 'the key is not in use, perhaps about to be deleted; restore it',
  InvalidKeyUsageException: 'the key is not for encrypting; name a symmetric one',
  InvalidCiphertextException: 'what is in the store was altered, or sealed by a broker of another broker.url',
  IncorrectKeyException: 'what is in the store was sealed under another key; name it in also_opens',
  UnrecognizedClientException: "AWS does not know the broker's credentials",
  InvalidSignatureException: "AWS does not take the broker's signature; look at its secret key and its clock",
  ExpiredTokenException: "the broker's credentials have expired",
};

/** Names for which KMS answers 400, and that pass by themselves. */
const PASSING: ReadonlySet<string> = new Set([
  'ThrottlingException',
  'LimitExceededException',
  'KeyUnavailableException',
  'DependencyTimeoutException',
]);

/** The SDK's error holds the whole exchange, and with it perhaps a key: only its name is taken over. */
function kmsError(doing: string, keyArn: string, error: unknown): HallpassError {
  const known = error as { name?: string; code?: unknown; $metadata?: { httpStatusCode?: number } };
  // What Node says of a connection has a code and a name that says nothing.
  const name = typeof known.code === 'string' ? known.code : (known.name ?? 'unknown error');
  const status = known.$metadata?.httpStatusCode ?? 0;
  const refused = status >= 400 && status < 500 && status !== 429 && !PASSING.has(name);
  // What stands between us and KMS, or in its place, may refuse in words that the SDK cannot read.
  const advice =
    ADVICE[status === 403 ? 'AccessDeniedException' : name] ??
    (refused ? 'AWS refuses it' : 'AWS does not answer as it should');
  return new HallpassError(
    refused ? 'config-invalid' : 'kms-unavailable',
    `Cannot ${doing} by KMS key "${keyArn}": ${name}: ${advice}`,
  );
}

function strange(doing: string): HallpassError {
  return new HallpassError('kms-unavailable', `Cannot ${doing}: KMS left it out of its answer`);
}
