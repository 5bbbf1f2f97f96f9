import { z } from 'zod';
import { duration } from '../grants/duration.ts';
import { quote, suggest } from '../grants/fault.ts';
import { configName } from '../grants/schema.ts';
import type { PeopleSignIn } from '../identity/attestor.ts';
import type { ConfiguredIssuer } from './config.ts';
import type { Loading } from './secrets.ts';

/** How `sign_in` is written in `hallpass.yaml`: at which issuer people sign in, and as which of its clients. */

const clientId = z.string().min(1).max(500);

export const signInSchema = z.strictObject({
  issuer: configName.meta({
    description: 'Name of the issuer, of those in `issuers`, at which people sign in',
  }),
  scopes: z
    .array(
      z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,200}$/, { error: 'Write one scope, without spaces' }),
    )
    .max(30)
    .refine((scopes) => scopes.includes('openid'), {
      error: 'Without openid there is no identity token: add it',
    })
    .default(['openid'])
    .meta({
      description: 'What is asked of it: whatever it takes for groups to stand in the identity token',
    }),
  token_endpoint: z
    .url({ protocol: /^https$/, error: 'Cannot read this as a URL: write it like https://HOST/token' })
    .optional()
    .meta({
      description: 'Where codes become tokens, for issuers that keep that on another host',
      typeName: 'URL',
    }),
  cli: z
    .strictObject({
      client_id: clientId.meta({
        description: 'Client of the issuer, public, with a loopback redirect or the device flow',
      }),
    })
    .optional()
    .meta({ description: '`hallpass login`' }),
  browser: z
    .strictObject({
      client_id: clientId.meta({
        description: 'Client of the issuer, with the redirect URI `<broker.url>/sign-in/callback`',
      }),
      client_secret: z
        .string()
        .max(4096)
        .optional()
        .meta({ description: 'Its secret, if it has one', secret: true }),
      session: duration({ min: 60, max: 86_400 })
        .prefault('8h')
        .meta({ description: 'A session ends then, or when its identity token does if that is sooner' }),
      idle: duration({ min: 60, max: 86_400 })
        .prefault('30m')
        .meta({ description: 'A session that nobody uses ends then' }),
    })
    .optional()
    .meta({ description: "Sign-in with a browser, and the approver's page" }),
});

type RawSignIn = z.output<typeof signInSchema>;

export interface SignInConfig {
  /** The issuer's name in the configuration. */
  readonly issuer: string;
  readonly at: PeopleSignIn;
  /** As OAuth writes them: with spaces between. */
  readonly scope: string;
  /** Null: on the host of the issuer. */
  readonly tokenEndpoint: string | null;
  readonly cliClientId: string | null;
  /** `clientSecret` is a secret. */
  readonly browser: {
    readonly clientId: string;
    readonly clientSecret: string | null;
    readonly sessionMs: number;
    readonly idleMs: number;
  } | null;
}

/** The section `sign_in`, checked against the issuer that it names; null when it has faults. */
export function signInConfig(
  raw: RawSignIn | undefined,
  issuers: {
    readonly configured: ReadonlyMap<string, ConfiguredIssuer>;
    readonly world: ReadonlyMap<string, unknown>;
  },
  loading: Loading,
): SignInConfig | null {
  if (raw === undefined) return null;
  const before = loading.faults.length;
  const fault = (path: readonly string[], message: string) =>
    loading.faults.push({ path: ['sign_in', ...path], message });
  const issuer = issuers.configured.get(raw.issuer);
  const at = issuer?.kind.describe(issuer.settings).signIn;
  if (!issuers.world.has(raw.issuer))
    fault(
      ['issuer'],
      `Unknown issuer ${quote(raw.issuer)}: ${suggest(raw.issuer, [...issuers.world.keys()])}`,
    );
  else if (issuer !== undefined && at === undefined)
    fault(['issuer'], 'Cannot sign people in there: it is no OpenID Connect issuer with a sign-in page');
  if (raw.cli === undefined && raw.browser === undefined)
    fault([], 'Nothing can sign in: add cli, browser, or both');
  for (const [member, client] of Object.entries({ cli: raw.cli, browser: raw.browser })) {
    // An identity token is for the client that asked for it.
    if (client !== undefined && at !== undefined && !at.audiences.includes(client.client_id))
      fault(
        [member, 'client_id'],
        `Its identity tokens would be refused: add ${quote(client.client_id)} to issuers.${raw.issuer}.audience`,
      );
  }
  if (raw.cli !== undefined && at?.singleUse)
    fault(['cli'], `Every command shows the same token: take single_use from issuers.${raw.issuer}`);
  if (at === undefined || loading.faults.length > before) return null;
  const { browser } = raw;
  return {
    issuer: raw.issuer,
    at,
    scope: raw.scopes.join(' '),
    tokenEndpoint: raw.token_endpoint ?? null,
    cliClientId: raw.cli?.client_id ?? null,
    browser:
      browser === undefined
        ? null
        : {
            clientId: browser.client_id,
            clientSecret: browser.client_secret ?? null,
            sessionMs: browser.session * 1000,
            idleMs: browser.idle * 1000,
          },
  };
}
