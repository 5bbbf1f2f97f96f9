import { hkdfSync } from 'node:crypto';
import type { Broker } from './broker/broker.ts';
import { createSessionVerbs } from './broker/session.ts';
import type { SignInConfig } from './config/sign-in.ts';
import type { AppOptions } from './http/app.ts';
import { createIdentityProvider } from './sign-in/identity-provider.ts';
import { installationNonceKey } from './store/installation.ts';

/** What people sign in with, for the border. It is loaded where the configuration has `sign_in`. */
export async function composeSignIn(
  { issuer, at, scope, tokenEndpoint, cliClientId, browser }: SignInConfig,
  broker: Broker,
): Promise<Pick<AppOptions, 'commandLine' | 'people'>> {
  return {
    ...(cliClientId === null ? {} : { commandLine: { issuer: at.url, clientId: cliClientId, scope } }),
    ...(browser === null
      ? {}
      : {
          people: {
            sessions: createSessionVerbs(broker, {
              issuer,
              lifetimeMs: browser.sessionMs,
              idleMs: browser.idleMs,
            }),
            provider: createIdentityProvider(
              {
                ...at,
                scope,
                tokenEndpoint,
                clientId: browser.clientId,
                clientSecret: browser.clientSecret,
                redirectUri: `${broker.url}/sign-in/callback`,
              },
              broker.runtime,
            ),
            flowKey: await flowKey(broker),
          },
        }),
  };
}

/** Of the key that all replicas share: another of its own, so that neither opens what the other made. */
async function flowKey({ database, runtime }: Broker): Promise<Uint8Array> {
  const shared = await installationNonceKey(database, runtime);
  return new Uint8Array(hkdfSync('sha256', shared, '', 'hallpass sign-in flow', 32));
}
