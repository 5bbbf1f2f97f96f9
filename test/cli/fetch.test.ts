import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { openFetch } from '../../src/cli/fetch.ts';
import { createCertificate } from '../support/certificates.ts';
import { commandLine } from './support/run.ts';

async function serve(listener: RequestListener, tls?: { cert: string; key: string }): Promise<URL> {
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return new URL(`${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}/path?a=b`);
}

const init = (signal = AbortSignal.timeout(10_000)) => ({ headers: {}, redirect: 'error', signal }) as const;
const call = openFetch(null);

test('openFetch: sends what it is given, and answers what came, byte for byte', async () => {
  const bytes = randomBytes(100_000);
  let seen = '';
  const url = await serve(async (request, response) => {
    for await (const chunk of request) seen += chunk;
    seen += ` ${request.method} ${request.url} ${request.headers.authorization} ${request.headers['content-length']}`;
    response.writeHead(418, { 'Retry-After': '7' }).end(bytes);
  });
  const sent = { ...init(), method: 'POST', headers: { authorization: 'Bearer x' }, body: 'grüße' };
  const answer = await call(url, sent);
  expect(seen).toBe('grüße POST /path?a=b Bearer x 7');
  expect(answer).toMatchObject({ ok: false, status: 418 });
  expect(answer.headers.get('retry-after')).toBe('7');
  expect(answer.headers.get('dpop-nonce')).toBeNull();
  expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true);
});

test('openFetch: follows no redirect, with the token in its hands', async () => {
  let elsewhere = 0;
  const target = await serve((_, response) => {
    elsewhere++;
    response.end();
  });
  const url = await serve((_, response) => response.writeHead(307, { location: target.href }).end());
  await expect(call(url, init())).rejects.toThrow('it redirects to elsewhere');
  expect(elsewhere).toBe(0);
});

test('openFetch: an answer that breaks off rejects, and so does one that is cut', async () => {
  const broken = await serve((_, response) => {
    response.writeHead(200, { 'content-length': 10 }).write('half');
    setImmediate(() => response.destroy());
  });
  await expect(call(broken, init())).rejects.toThrow();
  const cut = new AbortController();
  const silent = await serve((_, response) => {
    response.writeHead(200).write('half');
    setImmediate(() => cut.abort(new Error('enough')));
  });
  await expect(call(silent, init(cut.signal))).rejects.toThrow();
  await expect(call(new URL('http://127.0.0.1:1'), init())).rejects.toThrow('ECONNREFUSED');
});

test('HALLPASS_CA_FILE: the broker is trusted by it, and by nothing else', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-ca-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const mine = await createCertificate({ name: 'localhost', address: '127.0.0.1' });
  const other = await createCertificate({ name: 'localhost', address: '127.0.0.1' });
  const url = await serve((_, response) => response.end('{"grants":[]}'), mine);
  const run = async (ca: string | undefined) => {
    const file = join(folder, 'ca.pem');
    if (ca !== undefined) await writeFile(file, ca);
    const env = { HALLPASS_URL: url.origin, ...(ca === undefined ? {} : { HALLPASS_CA_FILE: file }) };
    // Without a network of the test's own: what is tried is the real one.
    const { io, run: runLine, written } = commandLine({ env });
    Object.assign(io, { openFetch });
    return { status: await runLine('grants', '--json'), said: written.err };
  };
  expect(await run(mine.cert)).toMatchObject({ status: EXIT.done });
  for (const untrusted of [undefined, other.cert]) {
    const { status, said } = await run(untrusted);
    expect(status).toBe(EXIT.unreachable);
    expect(said).toContain('self-signed certificate');
  }
  expect(await run('no certificate')).toMatchObject({
    status: EXIT.usage,
    said: expect.stringContaining('it holds no certificate in PEM'),
  });
});
