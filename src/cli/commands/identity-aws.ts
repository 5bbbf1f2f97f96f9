import { createHash, createHmac } from 'node:crypto';
import { EXIT } from '../exit-codes.ts';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';

export interface AwsIdentityOptions {
  readonly audience?: string;
  readonly region?: string;
  readonly endpoint?: string;
}

const QUESTION = 'Action=GetCallerIdentity&Version=2011-06-15';

/** Prints a request to STS that is signed with this machine's AWS credentials, for one use at one broker. */
export async function awsIdentity(io: Io, options: AwsIdentityOptions): Promise<number> {
  const audience = options.audience ?? io.env.HALLPASS_URL;
  if (!audience)
    throw new UsageError('Cannot tell for whom: give --audience, as the issuer has it, or set HALLPASS_URL');
  const region = options.region ?? io.env.AWS_REGION ?? io.env.AWS_DEFAULT_REGION;
  if (!region) throw new UsageError('Cannot tell whose STS will be asked: give --region or set AWS_REGION');
  const suffix = region.startsWith('cn-') ? '.cn' : '';
  const address = options.endpoint ?? `https://sts.${region}.amazonaws.com${suffix}`;
  if (!URL.canParse(address)) throw new UsageError('Cannot read --endpoint: write it like https://HOST');
  const url = new URL(`${address.replace(/\/+$/, '')}/`);
  const { SignatureV4 } = await import('@smithy/signature-v4');
  const signer = new SignatureV4({
    service: 'sts',
    region,
    sha256: Sha256,
    credentials: await credentials(),
    applyChecksum: false,
  });
  const { headers } = await signer.sign(
    {
      method: 'POST',
      protocol: url.protocol,
      hostname: url.hostname,
      path: url.pathname,
      headers: {
        host: url.host,
        'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
        'x-hallpass-audience': audience,
      },
      body: QUESTION,
    },
    { signingDate: new Date(io.runtime.now()) },
  );
  const { host: _, ...sent } = headers;
  const request = JSON.stringify({
    headers: Object.fromEntries(Object.entries(sent).sort(byName)),
    url: url.href,
  });
  io.out(`aws-sigv4.${Buffer.from(request).toString('base64url')}\n`);
  return EXIT.done;
}

function byName([a]: [string, string], [b]: [string, string]): number {
  return a < b ? -1 : 1;
}

/** From where every AWS tool takes them: the environment, files, a container's or an instance's own endpoint. */
async function credentials() {
  const { defaultProvider } = await import('@aws-sdk/credential-provider-node');
  try {
    return await defaultProvider()();
  } catch {
    throw new UsageError('Cannot sign: no AWS credentials were found where the AWS tools look for them');
  }
}

/** SHA-256 as the signer asks for it. */
class Sha256 {
  private readonly hash: ReturnType<typeof createHash | typeof createHmac>;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.hash = secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret));
  }

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.hash.update(bytesOf(data));
  }

  async digest(): Promise<Uint8Array> {
    return this.hash.digest();
  }
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data);
  return ArrayBuffer.isView(data)
    ? Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    : Buffer.from(data);
}
