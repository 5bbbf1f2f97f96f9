import { ProviderError } from '../../errors.ts';
import type { AwsContext, AwsKeys } from './clients.ts';
import { providerError } from './errors.ts';
import { MAX_SIGNIN_ANSWER_BYTES } from './limits.ts';

/** Where people sign in, and what they see first, by partition (IAM user guide, "Enable custom identity broker access"). */
const CONSOLES: Readonly<Record<string, { readonly signin: string; readonly home: string }>> = {
  aws: { signin: 'https://signin.aws.amazon.com', home: 'https://console.aws.amazon.com/' },
  'aws-cn': { signin: 'https://signin.amazonaws.cn', home: 'https://console.amazonaws.cn/' },
  'aws-us-gov': {
    signin: 'https://signin.amazonaws-us-gov.com',
    home: 'https://console.amazonaws-us-gov.com/',
  },
};

const DOING = 'make a console sign-in link';

/**
 * A link that signs in to the console as the session. It is a secret: whoever opens it within 15 minutes is signed
 * in. No duration is asked for, so that the console session ends with the session's keys.
 */
export async function signInUrl(
  { settings, target }: AwsContext,
  keys: AwsKeys,
  partition: string,
  destination: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  const place = CONSOLES[partition];
  if (!place)
    throw new ProviderError(
      'target-refused',
      `Cannot ${DOING}: the partition "${partition}" has none that we know`,
    );
  const base = `${settings.insecure_endpoints?.signin ?? place.signin}/federation`;
  const session = JSON.stringify({
    sessionId: keys.accessKeyId,
    sessionKey: keys.secretAccessKey,
    sessionToken: keys.sessionToken,
  });
  const token = await signInToken(
    target.runtime.fetch,
    `${base}?${new URLSearchParams({ Action: 'getSigninToken', Session: session })}`,
    signal,
  );
  return `${base}?${new URLSearchParams({ Action: 'login', Destination: destination ?? place.home, SigninToken: token })}`;
}

async function signInToken(
  fetch: typeof globalThis.fetch,
  url: string,
  signal: AbortSignal,
): Promise<string> {
  try {
    const response = await fetch(url, { signal, redirect: 'error' });
    const text = await boundedText(response);
    const token = response.ok ? (JSON.parse(text) as { SigninToken?: unknown }).SigninToken : undefined;
    if (typeof token === 'string' && token !== '') return token;
    throw new ProviderError(
      'target-failed',
      `Cannot ${DOING}: the sign-in endpoint answered ${response.status}`,
    );
  } catch (error) {
    if (error instanceof ProviderError) throw error;
    // The session exists by now. The message of the failure may quote the address, which holds its keys.
    const { code } = providerError(DOING, error, signal);
    throw new ProviderError(
      code === 'target-timeout' ? code : 'target-failed',
      `Cannot ${DOING}: the sign-in endpoint gave no answer that can be read`,
    );
  }
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_SIGNIN_ANSWER_BYTES)
      throw new ProviderError('target-failed', `Cannot ${DOING}: the sign-in endpoint says too much`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
