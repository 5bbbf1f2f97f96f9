import { connect, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { defaultServerLimits } from '../../src/http/limits.ts';
import { type RunningServer, startServer } from '../../src/http/server.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { fakeBorder } from '../fakes/border.ts';
import { authority, type Issued, issue } from '../support/authority.ts';
import { createCertificate, type TestCertificate } from '../support/certificates.ts';

const running: RunningServer[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop(0)));
});

let server: TestCertificate;
let root: Issued;
let between: Issued;
let client: Issued;
beforeAll(async () => {
  const times = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 };
  server = await createCertificate({ name: 'localhost', address: '127.0.0.1' });
  root = await authority({ subject: 'CN=Root', ...times });
  between = await issue(root, { ca: true, subject: 'CN=Between', ...times });
  client = await issue(between, { uris: ['spiffe://td/x'], ...times });
});

async function start(clientCertificates: boolean) {
  const border = fakeBorder();
  const started = await startServer({
    app: border.app,
    listen: { host: '127.0.0.1', port: 0 },
    tls: { cert: server.cert, key: server.key, clientCertificates },
    limits: defaultServerLimits,
    runtime: systemRuntime,
  });
  running.push(started);
  /** The evidence that the border passed on, in order. */
  const evidence = () =>
    border.verbs.calls.filter(({ verb }) => verb === 'identify').map(({ args }) => args[0]);
  return { port: started.address.port, evidence };
}

interface Conversation {
  readonly sessions: Buffer[];
  readonly reused: boolean;
  readonly protocol: string | null;
  readonly answer: string;
}

/** One connection, and as many requests on it as there are sets of headers. */
function converse(
  port: number,
  options: {
    identity?: readonly Issued[];
    session?: Buffer;
    version?: 'TLSv1.2' | 'TLSv1.3';
    headers?: string[];
  } = {},
): Promise<Conversation> {
  const { identity = [], session, version = 'TLSv1.3', headers = [''] } = options;
  return new Promise((resolve, reject) => {
    const sessions: Buffer[] = [];
    const socket: TLSSocket = connect({
      port,
      host: '127.0.0.1',
      ca: server.cert,
      minVersion: version,
      maxVersion: version,
      ...(identity[0] && { key: identity[0].keyPem, cert: identity.map(({ pem }) => pem).join('\n') }),
      ...(session && { session }),
    });
    let answer = '';
    let reused = false;
    let protocol: string | null = null;
    socket.on('session', (ticket: Buffer) => void sessions.push(ticket));
    socket.on('secureConnect', () => {
      reused = socket.isSessionReused();
      protocol = socket.getProtocol();
      for (const [i, header] of headers.entries()) {
        const close = i === headers.length - 1 ? 'connection: close\r\n' : '';
        socket.write(`GET /v1/grants HTTP/1.1\r\nhost: x\r\n${header}${close}\r\n`);
      }
    });
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
    });
    socket.on('error', reject).on('close', () => resolve({ sessions, reused, protocol, answer }));
  });
}

describe('client certificates', () => {
  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'are evidence, with what was sent beside them: %s',
    async (version) => {
      const { port, evidence } = await start(true);
      const { protocol, answer } = await converse(port, { identity: [client, between], version });
      expect(protocol).toBe(version);
      expect(answer).toMatch(/^HTTP\/1.1 401 /);
      const [seen] = evidence() as [{ kind: string; chain: Uint8Array[] }];
      expect(seen.kind).toBe('client-certificate');
      expect(seen.chain.slice(0, 2).map((der) => Buffer.from(der).toString('hex'))).toEqual(
        [client, between].map(({ der }) => Buffer.from(der).toString('hex')),
      );
    },
  );

  it('give way to a token', async () => {
    const { port, evidence } = await start(true);
    await converse(port, { identity: [client, between], headers: ['authorization: Bearer abc\r\n'] });
    expect(evidence()).toEqual([{ kind: 'bearer', token: 'abc' }]);
  });

  it('are not needed, and are not asked for where the configuration does not say so', async () => {
    const asked = await start(true);
    expect((await converse(asked.port)).answer).toMatch(/^HTTP\/1.1 401 /);
    expect(asked.evidence()).toEqual([]);
    const unasked = await start(false);
    const { answer } = await converse(unasked.port, { identity: [client, between] });
    expect(answer).toMatch(/^HTTP\/1.1 401 /);
    expect(unasked.evidence()).toEqual([]);
  });

  it('are evidence for each request of a connection', async () => {
    const { port, evidence } = await start(true);
    await converse(port, { identity: [client, between], headers: ['', ''] });
    expect(evidence()).toHaveLength(2);
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'are never skipped by a resumed session (16): %s',
    async (version) => {
      const { port, evidence } = await start(true);
      const first = await converse(port, { identity: [client, between], version });
      expect(evidence()).toHaveLength(1);
      for (const session of first.sessions) {
        const again = await converse(port, { session, version });
        expect(again.reused).toBe(false);
        expect(again.answer).toMatch(/^HTTP\/1.1 401 /);
      }
      expect(evidence()).toHaveLength(1);
    },
  );

  it('sessions do resume where no certificates are asked for: the test above can fail', async () => {
    const { port } = await start(false);
    const { sessions } = await converse(port, { version: 'TLSv1.3' });
    expect(sessions.length).toBeGreaterThan(0);
    expect((await converse(port, { session: sessions[0]!, version: 'TLSv1.3' })).reused).toBe(true);
  });
});
