import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { helperCredentials } from '../../src/cli/helpers/source.ts';
import { runProgram } from '../../src/cli/program.ts';
import { type Runtime, systemRuntime } from '../../src/runtime.ts';
import { createPeopleWorld, type PeopleWorld } from '../http/people/world.ts';
import { until } from '../support/runtime.ts';
import { createUserAgent, type UserAgent } from '../support/user-agent.ts';
import { fakeIo } from './support/io.ts';

let world: PeopleWorld;
let home: string;

beforeAll(async () => {
  world = await createPeopleWorld({
    runtime: systemRuntime,
    grants: `
  look:
    who: [{ issuer: staff, claims: { groups: { contains: approvers } } }]
    tasks: [{ glob: look-* }]
    credentials:
      db: { target: warehouse, ttl: { default: 15m, max: 1h }, scope: { role: look } }
`,
  });
});
afterAll(() => world?.[Symbol.asyncDispose]());
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'hallpass-login-'));
  world.provider.denying = false;
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
});

/** The command line of somebody whose home is `home`. */
function terminal(runtime: Partial<Runtime> = {}, env: Record<string, string> = {}) {
  const io = fakeIo({ HOME: home, HALLPASS_URL: world.url, ...env }, runtime);
  const run = (...args: string[]) =>
    runProgram(args, { io: io.io, version: '0', serve: async () => 0, check: async () => 0 });
  /** The address that the person is to open. */
  const address = async () => {
    await until(() => /\n {2}(http\S+)\n/.test(io.written.err), 'the address');
    return /\n {2}(http\S+)\n/.exec(io.written.err)?.[1] ?? '';
  };
  return { ...io, run, address };
}

const files = () => {
  const folder = join(home, '.local/state/hallpass/sign-in');
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
};
const saved = () =>
  JSON.parse(readFileSync(files()[0]!, 'utf8')) as { idToken: string; refreshToken?: string };

/** Signs in as somebody, with a browser that goes where `bend` says. */
async function login(
  name: string,
  {
    args = [],
    bend = (url) => url,
    runtime = {},
  }: {
    args?: string[];
    bend?: (url: string) => string;
    runtime?: Partial<Runtime>;
  } = {},
) {
  const at = terminal(runtime);
  const ended = at.run('login', '--no-browser', ...args);
  world.provider.signInAs(name);
  const browser = createUserAgent();
  const shown = await browser.follow(bend(await at.address()));
  return { ...at, code: await ended, shown };
}

describe('login', () => {
  it('signs in over loopback, and the commands that follow are that person', async () => {
    const { code, written, shown } = await login('ada');
    expect([code, written.err]).toEqual([EXIT.done, expect.stringContaining('Signed in as ada')]);
    expect(shown.body).toContain('You are signed in');
    expect(shown.response.headers.get('content-security-policy')).toContain("default-src 'none'");
    const [file] = files();
    expect(statSync(file!).mode & 0o777).toBe(0o600);
    expect(statSync(join(file!, '..')).mode & 0o777).toBe(0o700);
    expect(saved().refreshToken).toBeUndefined();

    const request = await world.ask('from a terminal');
    const next = terminal();
    expect(await next.run('requests')).toBe(EXIT.done);
    expect(next.written.out).toContain(request.id);
    expect(await next.run('approve', request.id)).toBe(EXIT.done);
    expect((await world.operator.readRequest(request.id)).approvals[0]?.by.subject).toBe('ada');
    const { idToken } = saved();
    for (const text of [written.out, written.err, next.written.out, next.written.err, shown.body])
      expect(text).not.toContain(idToken.split('.')[2]);

    expect(await next.run('logout')).toBe(EXIT.done);
    expect(files()).toEqual([]);
    expect(await next.run('requests')).toBe(EXIT.usage);
    expect(next.written.err).toContain('run hallpass login');
  });

  it('asks for code and PKCE on 127.0.0.1, and for no more than it was told', async () => {
    const { code, written } = await login('ada', {
      args: ['--json'],
      bend: (address) => {
        const asked = new URL(address).searchParams;
        expect(asked.get('redirect_uri')).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/callback$/);
        expect(Object.fromEntries(asked)).toMatchObject({
          response_type: 'code',
          code_challenge_method: 'S256',
          scope: 'openid groups',
        });
        return address;
      },
    });
    expect(code).toBe(EXIT.done);
    expect(JSON.parse(written.out)).toEqual({
      issuer: world.provider.url,
      subject: 'ada',
      expires_at: expect.stringMatching(/Z$/),
    });
  });

  it('other evidence that is given comes before it', async () => {
    await login('ada');
    const token = await world.provider.idToken('mallory');
    const { run, written } = terminal({}, { HALLPASS_TOKEN: token });
    await world.ask('who looks?');
    expect(await run('requests', '--json')).toBe(EXIT.done);
    expect(JSON.parse(written.out)).toEqual({ requests: [] });
  });

  it('the token is shown to no other broker', async () => {
    await login('ada');
    const { run, written } = terminal({}, { HALLPASS_URL: 'http://127.0.0.1:9' });
    expect(await run('requests')).toBe(EXIT.usage);
    expect(written.err).toContain('Cannot prove who calls');
  });

  it('a file that others can read is not used', async () => {
    await login('ada');
    chmodSync(files()[0]!, 0o644);
    expect(await terminal().run('requests')).toBe(EXIT.usage);
  });

  it('says so when the sign-in has ended', async () => {
    await login('ada');
    const { run, written } = terminal({ now: () => Date.now() + 3_700_000 });
    expect(await run('requests')).toBe(EXIT.usage);
    expect(written.err).toMatch(/The sign-in ended at .*: run hallpass login/);
  });

  it('with --refresh it outlasts its token, and logout withdraws what does that', async () => {
    await login('ada', { args: ['--refresh'] });
    const before = saved();
    expect(before.refreshToken).toBeDefined();
    const { run } = terminal({ now: () => Date.now() + 3_700_000 });
    // Both come at once, and the refresh token is used once.
    expect(await Promise.all([run('requests'), run('requests')])).toEqual([EXIT.done, EXIT.done]);
    const after = saved();
    expect(after.idToken).not.toBe(before.idToken);
    const { run: leave, written } = terminal();
    expect(await leave('logout')).toBe(EXIT.done);
    expect(written.err).not.toContain('could not be withdrawn');
    const answer = await fetch(`${world.provider.url}/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'refresh_token',
        client_id: 'hallpass-cli',
        refresh_token: after.refreshToken!,
      }),
    });
    expect(answer.status).toBe(400);
  });
});

describe('login: refuses', () => {
  const failures: readonly [string, (address: string) => string, RegExp][] = [
    [
      'an answer with another state',
      (at) => `${redirectOf(at)}?code=x&state=other&iss=${world.provider.url}`,
      /its state is another/,
    ],
    [
      'an answer without a state',
      (at) => `${redirectOf(at)}?code=x&iss=${world.provider.url}`,
      /its state is another/,
    ],
    [
      'an answer of another issuer',
      (at) => `${redirectOf(at)}?code=x&state=${stateOf(at)}&iss=https://evil.example`,
      /iss/,
    ],
    [
      'a code that the provider did not give',
      (at) => `${redirectOf(at)}?code=x&state=${stateOf(at)}&iss=${world.provider.url}`,
      /invalid_grant/,
    ],
    [
      'a token with another nonce',
      (at) => at.replace(/nonce=[^&]+/, 'nonce=of-another-sign-in'),
      /its nonce is another/,
    ],
    [
      'a code that was asked for with another challenge',
      (at) => at.replace(/code_challenge=[^&]+/, `code_challenge=${'A'.repeat(43)}`),
      /invalid_grant/,
    ],
  ];
  it.each(failures)('%s', async (_what, bend, message) => {
    const { code, written, shown } = await login('ada', { bend });
    expect(code).toBe(EXIT.failed);
    expect(written.err).toMatch(message);
    expect(shown.body).toContain('You are not signed in');
    expect(files()).toEqual([]);
  });

  it('what the person denies', async () => {
    world.provider.denying = true;
    const { code, written } = await login('ada');
    expect([code, written.err]).toEqual([
      EXIT.failed,
      expect.stringContaining('denied at the identity provider'),
    ]);
  });

  it('to wait for ever', async () => {
    const { run, written } = terminal();
    expect(await run('login', '--no-browser', '--timeout', '1s')).toBe(EXIT.usage);
    expect(written.err).toContain('nobody did within 1 seconds');
  });

  it.each(['SIGINT', 'SIGHUP'] as const)('to go on after %s, and holds no port then', async (signal) => {
    const { run, written, send, address, listeners } = terminal();
    const ended = run('login', '--no-browser');
    const at = redirectOf(await address());
    send(signal);
    expect(await ended).toBe(EXIT.usage);
    expect(written.err).toContain(`ended by ${signal}`);
    expect(listeners()).toBe(0);
    await expect(fetch(at)).rejects.toThrow();
  });

  it('a port that is busy', async () => {
    const busy = createServer();
    await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void busy.close());
    const { port } = busy.address() as AddressInfo;
    const { run, written } = terminal();
    expect(await run('login', '--no-browser', '--port', String(port))).toBe(EXIT.usage);
    expect(written.err).toContain(`Cannot listen on 127.0.0.1:${port}: it is in use`);
  });

  it('a broker that is not there, a provider that is not there, and half of the options', async () => {
    const { run } = terminal({}, { HALLPASS_URL: 'http://127.0.0.1:9' });
    expect(await run('login', '--no-browser')).toBe(EXIT.unreachable);
    const { run: other, written } = terminal();
    const at = ['--issuer', 'http://127.0.0.1:9', '--client-id', 'x'];
    expect(await other('login', '--no-browser', ...at)).toBe(EXIT.failed);
    expect(written.err).toContain('the identity provider does not answer');
    expect(await other('login', '--no-browser', '--issuer', 'https://id.example')).toBe(EXIT.usage);
  });
});

describe('login --device', () => {
  /** What the person does on another device: opens the address, agrees, and signs in. */
  async function onAnotherDevice(browser: UserAgent, address: string): Promise<string> {
    let { url, body } = await browser.follow(address);
    for (let page = 0; page < 3 && body.includes('<form'); page++) {
      const action = /action="([^"]+)"/.exec(body)?.[1] ?? url;
      const fields = [...body.matchAll(/<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"/g)];
      const form = Object.fromEntries(fields.map(([, name, value]) => [name, value]));
      const answer = await browser.send(new URL(action, url).href, { form });
      const location = answer.headers.get('location');
      ({ url, body } =
        location === null
          ? { url, body: await answer.text() }
          : await browser.follow(new URL(location, url).href));
    }
    return body;
  }
  // The looks at the provider come quickly; the patience of the whole does not.
  const quickly = {
    sleep: (ms: number, signal?: AbortSignal) =>
      systemRuntime.sleep(ms < 60_000 ? Math.min(ms, 30) : ms, signal),
  };

  it('signs in with a browser elsewhere', async () => {
    const { run, written } = terminal(quickly);
    const ended = run('login', '--device', '--timeout', '1d');
    await until(() => /http\S+user_code=\S+/.test(written.err), 'the address');
    world.provider.signInAs('grace');
    const body = await onAnotherDevice(
      createUserAgent(),
      /http\S+user_code=\S+/.exec(written.err)?.[0] ?? '',
    );
    expect(body).toContain('Done');
    expect([await ended, written.err]).toEqual([EXIT.done, expect.stringContaining('Signed in as grace')]);
    expect(await terminal().run('requests')).toBe(EXIT.done);
  });

  it('what the person denies there', async () => {
    const { run, written } = terminal(quickly);
    const ended = run('login', '--device', '--timeout', '1d');
    await until(() => /http\S+user_code=\S+/.test(written.err), 'the address');
    world.provider.denying = true;
    await onAnotherDevice(createUserAgent(), /http\S+user_code=\S+/.exec(written.err)?.[0] ?? '');
    expect([await ended, written.err]).toEqual([
      EXIT.failed,
      expect.stringContaining('denied at the identity provider'),
    ]);
  });
});

const redirectOf = (address: string) => new URL(address).searchParams.get('redirect_uri') ?? '';
const stateOf = (address: string) => new URL(address).searchParams.get('state') ?? '';

describe('a helper', () => {
  it('gives nobody what it keeps for whoever signed in before', async () => {
    const ask = { grant: 'look', task: 'look-1', url: world.url };
    const credentialOf = async () => {
      const [credential] = await helperCredentials(terminal().io, ask);
      return credential?.lease.id;
    };
    await login('ada');
    const first = await credentialOf();
    expect(await credentialOf()).toBe(first);
    await login('grace');
    expect(await credentialOf()).not.toBe(first);
    await terminal().run('logout');
    await expect(credentialOf()).rejects.toThrow('run hallpass login');
  });
});
