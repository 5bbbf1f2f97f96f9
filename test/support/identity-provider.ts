import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair } from 'jose';
import Provider, { type ClientMetadata } from 'oidc-provider';
import { createUserAgent } from './user-agent.ts';

/** A person who can sign in: his name is what he types, and his claims stand in his identity token. */
export type Persons = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface TestIdentityProvider {
  readonly url: string;
  /** Of the client `hallpass-web`. */
  readonly secret: string;
  /** Whom the pages sign in from now on, without asking; null: they ask. */
  signInAs(name: string | null): void;
  /** Whether the pages deny what they are asked instead. */
  denying: boolean;
  /** An identity token for `hallpass-cli`, as the code flow gives it. */
  idToken(name: string): Promise<string>;
  close(): Promise<void>;
}

/**
 * A certified OpenID provider with a page of its own to sign in: `hallpass-web` is a confidential client for the
 * redirect URIs that are given, `hallpass-cli` a public one for loopback and the device flow.
 */
export async function startIdentityProvider(
  redirectUris: readonly string[],
  persons: Persons,
): Promise<TestIdentityProvider> {
  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const secret = crypto.randomUUID();
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const common: Partial<ClientMetadata> = {
    id_token_signed_response_alg: 'ES256',
    application_type: 'native',
  };
  const provider = new Provider(url, {
    jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'one', alg: 'ES256', use: 'sig' }] },
    cookies: { keys: [crypto.randomUUID()] },
    clients: [
      {
        ...common,
        client_id: 'hallpass-web',
        client_secret: secret,
        redirect_uris: [...redirectUris],
        application_type: 'web',
      },
      {
        ...common,
        client_id: 'hallpass-cli',
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
        redirect_uris: ['http://127.0.0.1/callback'],
      },
    ],
    claims: { openid: ['sub'], groups: ['groups', 'email'] },
    scopes: ['openid', 'offline_access', 'groups'],
    conformIdTokenClaims: false,
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, ...persons[id] }),
    }),
    features: {
      devInteractions: { enabled: false },
      deviceFlow: {
        enabled: true,
        userCodeInputSource: (context, form) => {
          context.body = `<!doctype html>${form}<button form="op.deviceInputForm">Go on</button>`;
        },
        userCodeConfirmSource: (context, form) => {
          context.body = `<!doctype html>${form}<button form="op.deviceConfirmForm">Allow</button>`;
        },
        successSource: (context) => {
          context.body = '<!doctype html><h1>Done</h1>';
        },
      },
      revocation: { enabled: true },
    },
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    ttl: {
      IdToken: 3600,
      AccessToken: 60,
      Interaction: 600,
      Session: 3600,
      Grant: 3600,
      DeviceCode: 300,
      RefreshToken: 3600,
    },
    issueRefreshToken: async (_context, _client, code) => code.scopes.has('offline_access'),
    // The audience of our own tests alone: nobody asks for consent twice.
    loadExistingGrant: async (context) => {
      const { client, session, params } = context.oidc;
      const grant = new context.oidc.provider.Grant({
        clientId: client?.clientId ?? '',
        accountId: session?.accountId ?? '',
      });
      grant.addOIDCScope(String(params?.scope ?? 'openid'));
      await grant.save();
      return grant;
    },
  });
  const handle = provider.callback();
  let signedInAs: string | null = null;
  const self: TestIdentityProvider = {
    url,
    secret,
    denying: false,
    signInAs: (name) => {
      signedInAs = name;
    },
    async idToken(name) {
      const agent = createUserAgent();
      const verifier = crypto.randomUUID() + crypto.randomUUID();
      const challenge = createHash('sha256').update(verifier).digest('base64url');
      const asked = new URLSearchParams({
        client_id: 'hallpass-cli',
        response_type: 'code',
        redirect_uri: 'http://127.0.0.1/callback',
        scope: 'openid groups',
        code_challenge: challenge,
        code_challenge_method: 'S256',
      });
      signedInAs = name;
      const { url: back } = await agent.follow(
        `${url}/auth?${asked}`,
        ({ pathname }) => pathname === '/callback',
      );
      const answer = await fetch(`${url}/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'authorization_code',
          client_id: 'hallpass-cli',
          code: new URL(back).searchParams.get('code') ?? '',
          redirect_uri: 'http://127.0.0.1/callback',
          code_verifier: verifier,
        }),
      });
      return ((await answer.json()) as { id_token: string }).id_token;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === '/favicon.ico') return void response.writeHead(204).end();
    if (!request.url?.startsWith('/interaction/')) return void handle(request, response);
    const { prompt } = await provider.interactionDetails(request, response);
    const name = request.method === 'POST' ? await loginIn(request) : signedInAs;
    if (self.denying)
      return provider.interactionFinished(
        request,
        response,
        { error: 'access_denied' },
        { mergeWithLastSubmission: false },
      );
    // Native clients are confirmed each time.
    if (prompt.name === 'consent')
      return provider.interactionFinished(
        request,
        response,
        { consent: {} },
        { mergeWithLastSubmission: true },
      );
    if (name === null || !Object.hasOwn(persons, name)) {
      response.setHeader('content-type', 'text/html');
      response.end(
        '<!doctype html><title>Acme sign-in</title><form method="post"><label>Name <input name="login"></label><button>Sign in</button></form>',
      );
      return;
    }
    await provider.interactionFinished(
      request,
      response,
      { login: { accountId: name } },
      { mergeWithLastSubmission: false },
    );
  }
  return self;
}

async function loginIn(request: IncomingMessage): Promise<string | null> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return new URLSearchParams(body).get('login');
}
