import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { defaultServerLimits, type ServerLimits } from '../../src/http/limits.ts';
import { type RunningServer, type ServeOptions, startServer } from '../../src/http/server.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { fakeBorder, post } from '../fakes/border.ts';

const open = { grant: 'reports', task: 'nightly-1' };
const running: RunningServer[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop(0)));
});

async function start(
  app: ServeOptions['app'],
  limits: Partial<ServerLimits> = {},
  tls?: ServeOptions['tls'],
) {
  const server = await startServer({
    app,
    listen: { host: '127.0.0.1', port: 0 },
    limits: { ...defaultServerLimits, ...limits },
    runtime: systemRuntime,
    ...(tls ? { tls } : {}),
  });
  running.push(server);
  return server;
}

/** Writes raw bytes and gives back all that is answered until the connection is closed. */
function converse(port: number, ...writes: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(port, '127.0.0.1', () => {
      for (const text of writes) socket.write(text);
    });
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
    });
    socket.on('error', reject).on('close', () => resolve(answer));
  });
}

/** Resolves once `condition` holds: for what another connection does. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe('startServer: requests', () => {
  it('serves the app over a socket', async () => {
    const { app, verbs } = fakeBorder();
    const { address } = await start(app);
    const answer = await fetch(`${address.url}/v1/tasks`, post(open, verbs.admit('job')));
    expect(answer.status).toBe(201);
    expect(verbs.tasks.size).toBe(1);
  });

  it('refuses a body that is too long, with its length and chunked', async () => {
    const { app, verbs } = fakeBorder();
    const { address } = await start(app);
    const token = verbs.admit('job');
    const declared = await fetch(`${address.url}/v1/tasks`, post('x'.repeat(2_000_000), token));
    expect(declared.status).toBe(413);
    const chunks = Array.from({ length: 200 }, () => Buffer.alloc(1024, 'x'));
    const chunked = await fetch(`${address.url}/v1/tasks`, {
      ...post('', token),
      body: ReadableStream.from(chunks),
      duplex: 'half',
    } as RequestInit);
    expect(chunked.status).toBe(413);
    const ok = await fetch(`${address.url}/v1/tasks`, {
      ...post('', token),
      body: ReadableStream.from([Buffer.from(JSON.stringify(open))]),
      duplex: 'half',
    } as RequestInit);
    expect(ok.status).toBe(201);
  });

  it('answers a header that is too long with 431, and noise with 400, as problems', async () => {
    const { address } = await start(fakeBorder().app);
    const long = await converse(
      address.port,
      `GET /healthz HTTP/1.1\r\nhost: x\r\na: ${'x'.repeat(40_000)}\r\n\r\n`,
    );
    expect(long).toMatch(/^HTTP\/1.1 431 /);
    expect(long).toContain('"code":"too-large"');
    const noise = await converse(address.port, '\u0016\u0003\u0001 hello\r\n\r\n');
    expect(noise).toMatch(/^HTTP\/1.1 400 /);
    expect(noise).toContain('application/problem+json');
  });

  it('refuses a length beside chunks: the two could be read as two requests', async () => {
    const { app, verbs } = fakeBorder();
    const { address } = await start(app);
    const smuggled = await converse(
      address.port,
      'POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    );
    expect(smuggled).toMatch(/^HTTP\/1.1 400 /);
    expect(verbs.calls).toEqual([]);
  });

  it('cuts off a client that dribbles its header, and one that dribbles its body', async () => {
    const { app, verbs } = fakeBorder();
    const { address } = await start(app, { headersTimeoutMs: 150, requestTimeoutMs: 300 });
    const header = await converse(address.port, 'GET /healthz HTTP/1.1\r\nhost:');
    expect(header).toMatch(/^HTTP\/1.1 408 /);
    const token = verbs.admit('job');
    const head = `POST /v1/tasks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{`;
    await converse(address.port, head);
    expect(verbs.tasks.size).toBe(0);
    // Its place among the requests in flight is free again.
    expect((await fetch(`${address.url}/v1/tasks`, post(open, token))).status).toBe(201);
  });
});

describe('startServer: stop', () => {
  it('lets what is being served finish, and takes nothing new', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    const { app, verbs } = fakeBorder({
      before: async (verb) => {
        if (verb === 'openTask') await gate;
        return undefined;
      },
    });
    const server = await start(app);
    const token = verbs.admit('job');
    const idle = new Agent({ keepAlive: true });
    await new Promise((resolve) =>
      request(`${server.address.url}/healthz`, { agent: idle }, (r) => r.resume().on('end', resolve)).end(),
    );
    const answer = fetch(`${server.address.url}/v1/tasks`, post(open, token));
    await until(() => verbs.calls.some(({ verb }) => verb === 'openTask'));
    const stopped = server.stop(10_000);
    await expect(fetch(`${server.address.url}/healthz`)).rejects.toThrow();
    release();
    const { status, headers } = await answer;
    expect([status, headers.get('connection')]).toEqual([201, 'close']);
    expect(await stopped).toBe(0);
    idle.destroy();
  });

  it('waits for a request whose client has gone: it may have an intent', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    const { app, verbs } = fakeBorder({
      before: async (verb) => {
        if (verb === 'openTask') await gate;
        return undefined;
      },
    });
    const server = await start(app);
    const leaving = new AbortController();
    const answer = fetch(`${server.address.url}/v1/tasks`, {
      ...post(open, verbs.admit('job')),
      signal: leaving.signal,
    });
    await until(() => verbs.calls.some(({ verb }) => verb === 'openTask'));
    leaving.abort();
    await expect(answer).rejects.toThrow();
    let stopped = false;
    const done = server.stop(10_000).then((cut) => {
      stopped = true;
      return cut;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(stopped).toBe(false);
    release();
    expect(await done).toBe(0);
    expect(verbs.tasks.size).toBe(1);
  });

  it('cuts and counts what is still served after the grace', async () => {
    const { app, verbs } = fakeBorder({
      before: (verb) => (verb === 'openTask' ? new Promise(() => {}) : Promise.resolve(undefined)),
    });
    const server = await start(app);
    const answer = fetch(`${server.address.url}/v1/tasks`, post(open, verbs.admit('job'))).catch(() => 'cut');
    await until(() => verbs.calls.some(({ verb }) => verb === 'openTask'));
    expect(await server.stop(20)).toBe(1);
    expect(await answer).toBe('cut');
  });

  it('rejects when the port is taken', async () => {
    const { app } = fakeBorder();
    const { address } = await start(app);
    await expect(
      startServer({ app, listen: address, limits: defaultServerLimits, runtime: systemRuntime }),
    ).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});

describe('startServer: TLS', () => {
  it('speaks TLS 1.2 and 1.3, and nothing older', async (ctx) => {
    const tls = selfSigned();
    if (!tls) return ctx.skip('needs openssl');
    const { app, verbs } = fakeBorder();
    const { address } = await start(app, {}, tls);
    expect(address.url).toMatch(/^https:/);
    const speak = (version: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3') =>
      new Promise<string>((resolve, reject) => {
        const socket = connectTls({
          host: '127.0.0.1',
          port: address.port,
          ca: tls.cert,
          servername: 'localhost',
          minVersion: version,
          maxVersion: version,
          ciphers: 'ALL:@SECLEVEL=0',
        });
        socket.on('error', reject).on('secureConnect', () => {
          socket.write(
            `GET /v1/grants HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${verbs.admit('job')}\r\n\r\n`,
          );
        });
        let answer = '';
        socket.setEncoding('utf8').on('data', (text: string) => {
          answer += text;
        });
        socket.on('close', () => resolve(answer));
      });
    expect(await speak('TLSv1.3')).toMatch(/^HTTP\/1.1 200 /);
    expect(await speak('TLSv1.2')).toMatch(/^HTTP\/1.1 200 /);
    await expect(speak('TLSv1.1')).rejects.toThrow();
  });
});

/** A certificate for this run alone; null without openssl. */
function selfSigned(): { cert: string; key: string } | null {
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-tls-'));
  try {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    const algorithm = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    execFileSync(
      'openssl',
      ['req', '-x509', ...algorithm, '-days', '1', ...subject, '-keyout', key, '-out', cert],
      { stdio: 'ignore' },
    );
    const pem = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
    expect(new X509Certificate(pem.cert).subject).toBe('CN=localhost');
    return pem;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
