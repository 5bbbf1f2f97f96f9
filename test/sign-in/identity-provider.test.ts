import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { systemRuntime } from '../../src/runtime.ts';
import { createIdentityProvider, type SignInSettings } from '../../src/sign-in/identity-provider.ts';

/** A provider that answers as the test says. What a real one does is tried with the pages that it serves. */
async function serve(
  answer: (url: string, self: string) => unknown,
): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const listener: RequestListener = (request, response) => {
    asked.push(request.url ?? '');
    const body = answer(request.url ?? '', url);
    if (typeof body === 'number')
      return void response.writeHead(body, { location: `${url}/elsewhere` }).end();
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
  };
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  onTestFinished(() => void server.close().closeAllConnections());
  return { url, asked };
}

const metadata = (url: string, over: object = {}) => ({
  issuer: url,
  authorization_endpoint: `${url}/auth`,
  token_endpoint: `${url}/token`,
  ...over,
});
const providerAt = (url: string, over: Partial<SignInSettings> = {}, runtime = systemRuntime) =>
  createIdentityProvider(
    {
      url,
      clientId: 'web',
      clientSecret: null,
      scope: 'openid',
      redirectUri: 'https://hallpass.example/sign-in/callback',
      tokenEndpoint: null,
      allowInsecureHttp: true,
      ...over,
    },
    runtime,
  );

test.each([
  [
    'a token endpoint on another host',
    (url: string) => metadata(url, { token_endpoint: 'https://evil.example/token' }),
    /Cannot send codes to "evil\.example"/,
  ],
  [
    'no page to sign in',
    (url: string) => metadata(url, { authorization_endpoint: undefined }),
    /names no page/,
  ],
  [
    'a page that is a script',
    (url: string) => metadata(url, { authorization_endpoint: 'javascript:alert(1)' }),
    /names no page/,
  ],
  [
    'a document of another issuer',
    (url: string) => metadata('https://evil.example', { token_endpoint: `${url}/token` }),
    /issuer/,
  ],
  ['an answer that is a redirect', () => 302, /unavailable|HTTP|unexpected/i],
  ['an answer that is none', () => 500, /unexpected/i],
])('begin: refuses %s', async (_what, document, detail) => {
  const { url } = await serve((_path, self) => document(self));
  const begun = await providerAt(url).begin();
  expect(begun).toMatchObject({ ok: false, error: { detail: expect.stringMatching(detail) } });
});

test('begin: takes a token endpoint elsewhere where the configuration names it', async () => {
  const { url } = await serve((_path, self) =>
    metadata(self, { token_endpoint: 'https://elsewhere.example/token' }),
  );
  const begun = await providerAt(url, { tokenEndpoint: 'https://elsewhere.example/token' }).begin();
  expect(begun.ok).toBe(true);
});

test('begin: refuses http where the issuer is not allowed it', async () => {
  const { url, asked } = await serve((_path, self) => metadata(self));
  expect(await providerAt(url, { allowInsecureHttp: false }).begin()).toMatchObject({ ok: false });
  expect(asked).toEqual([]);
});

test('begin: asks a provider that is away once for all who come at once, and again after a while', async () => {
  let status: unknown = 503;
  const { url, asked } = await serve((_path, self) => (status === 503 ? 503 : metadata(self)));
  let now = 1_000_000;
  const provider = providerAt(url, {}, { ...systemRuntime, now: () => now });
  const begun = await Promise.all(Array.from({ length: 50 }, () => provider.begin()));
  expect(begun.some(({ ok }) => ok)).toBe(false);
  expect(await provider.begin()).toEqual(begun[0]);
  expect(asked).toHaveLength(1);
  status = 200;
  now += 5_000;
  expect((await Promise.all([provider.begin(), provider.begin()])).every(({ ok }) => ok)).toBe(true);
  expect(asked).toHaveLength(2);
});

test('begin: asks for the document once for many sign-ins, and draws each anew', async () => {
  const { url, asked } = await serve((_path, self) => metadata(self));
  const provider = providerAt(url);
  const [one, two] = [await provider.begin(), await provider.begin()];
  if (!one.ok || !two.ok) throw new Error('both begin');
  expect(asked).toEqual(['/.well-known/openid-configuration']);
  const drawn = [one, two].flatMap(({ value }) => Object.values(value.flow));
  expect(new Set(drawn).size).toBe(6);
  expect(one.value.url).not.toContain(one.value.flow.verifier);
});

test('finish: sends nothing anywhere when the state is not that of the flow', async () => {
  const { url, asked } = await serve((_path, self) => metadata(self));
  const provider = providerAt(url);
  const begun = await provider.begin();
  if (!begun.ok) throw new Error('it begins');
  for (const answer of ['code=x', 'code=x&state=', 'code=x&state=other', 'code=x&state=a&state=b'])
    expect(await provider.finish(new URLSearchParams(answer), begun.value.flow)).toMatchObject({
      ok: false,
      error: { reason: 'mismatch' },
    });
  expect(asked).toEqual(['/.well-known/openid-configuration']);
});
