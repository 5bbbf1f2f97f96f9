import { UsageError } from '../failure.ts';
import { withLock } from '../helpers/lock.ts';
import type { Io } from '../io.ts';
import { when } from '../output.ts';
import { protocolFault, refreshSignIn } from './protocol.ts';
import { readSignIn, type SavedSignIn, saveSignIn, signInPath } from './saved.ts';

/** A token that ends so soon is renewed first: a request that begins in time is to arrive in time. */
const RENEW_BEFORE_MS = 30_000;

const REFRESH_TIMEOUT_MS = 20_000;

/** The identity token of whoever signed in for this broker, renewed where a refresh token was kept. */
export async function currentToken(io: Io, url: string): Promise<string> {
  const saved = readSignIn(io, url);
  if (saved === null) throw new UsageError('Nobody is signed in any more: run hallpass login');
  if (isFresh(io, saved)) return saved.idToken;
  // A refresh token may serve once: whoever comes at the same time waits for what the first one gets.
  return withLock(io.runtime, `${signInPath(io, url)}.lock`, async () => {
    const meanwhile = readSignIn(io, url) ?? saved;
    if (isFresh(io, meanwhile)) return meanwhile.idToken;
    const { refreshToken } = meanwhile;
    if (refreshToken === undefined) {
      const at = when(new Date(meanwhile.expiresAt).toISOString());
      throw new UsageError(`The sign-in ended at ${at}: run hallpass login`);
    }
    const renewed = await refreshed(io, meanwhile, refreshToken);
    if (renewed.subject !== meanwhile.subject)
      throw new UsageError('Cannot renew the sign-in: the answer is about somebody else; run hallpass login');
    const next = { ...meanwhile, ...renewed };
    saveSignIn(io, next);
    return next.idToken;
  });
}

async function refreshed(io: Io, saved: SavedSignIn, refreshToken: string) {
  try {
    return await refreshSignIn(io, saved, refreshToken, AbortSignal.timeout(REFRESH_TIMEOUT_MS));
  } catch (error) {
    const fault = protocolFault(error);
    throw fault === null
      ? error
      : new UsageError(`${fault.replace('sign in', 'renew the sign-in')}; run hallpass login`);
  }
}

function isFresh(io: Io, { expiresAt, refreshToken }: SavedSignIn): boolean {
  return expiresAt - (refreshToken === undefined ? 0 : RENEW_BEFORE_MS) > io.runtime.now();
}
