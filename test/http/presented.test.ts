import { createHash } from 'node:crypto';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HttpEnv } from '../../src/http/observe.ts';
import { presentedBy } from '../../src/http/presented.ts';
import { createCertificate, type TestCertificate } from '../support/certificates.ts';

/** Over a listener that asks for client certificates and takes any. */
const app = new Hono<HttpEnv>().post('/v1/tasks', (c) => c.json(presentedBy(c)));
let client: TestCertificate;
let port: number;
let close: () => void;

beforeAll(async () => {
  const served = await createCertificate({ name: 'broker', address: '127.0.0.1' });
  client = await createCertificate({ name: 'job' });
  const server = createServer(
    { cert: served.cert, key: served.key, requestCert: true, rejectUnauthorized: false },
    getRequestListener((incoming, env) => app.fetch(incoming, env as HttpEnv['Bindings'])),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
  close = () => {
    server.closeAllConnections();
    server.close();
  };
});
afterAll(() => close());

function send(headers: Record<string, string | string[]>, certificate?: TestCertificate): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        path: '/v1/tasks?query=1',
        method: 'POST',
        headers,
        rejectUnauthorized: false,
        agent: false,
        ...(certificate && { cert: certificate.cert, key: certificate.key }),
      },
      async (answer) => {
        let text = '';
        for await (const chunk of answer) text += String(chunk);
        resolve(JSON.parse(text));
      },
    );
    sent.on('error', reject).end();
  });
}

describe('presentedBy', () => {
  test('names the certificate that the client proved, and none where there is none', async () => {
    const der = Buffer.from(client.certificate.rawData);
    const certificate = createHash('sha256').update(der).digest('base64url');
    const authorization = 'Bearer abc';
    expect(await send({ authorization }, client)).toEqual({
      scheme: 'Bearer',
      token: 'abc',
      proof: null,
      certificate,
    });
    expect(await send({ authorization })).toMatchObject({ certificate: null });
  });

  test('has the scheme, and the proof with what it must be for', async () => {
    expect(await send({ authorization: 'dpop a.b.c', dpop: 'x.y.z' })).toEqual({
      scheme: 'DPoP',
      token: 'a.b.c',
      proof: { jwt: 'x.y.z', method: 'POST', path: '/v1/tasks' },
      certificate: null,
    });
  });

  test('of two proofs makes one that is none', async () => {
    const two = await send({ authorization: 'DPoP a', dpop: ['x.y.z', 'x.y.z'] });
    expect(two).toMatchObject({ proof: { jwt: 'x.y.z, x.y.z' } });
  });

  test.each([['Basic abc'], ['Bearer'], ['Bearer a b'], ['DPoPa'], ['']])(
    'takes %j for no token',
    async (authorization) => {
      expect(await send({ authorization })).toBeNull();
    },
  );
});
