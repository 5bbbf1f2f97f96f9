import { request } from 'node:https';
import pino from 'pino';
import { Registry } from 'prom-client';
import { expect, onTestFinished, test } from 'vitest';
import { createApp } from '../../src/http/app.ts';
import { defaultHttpLimits, defaultServerLimits } from '../../src/http/limits.ts';
import { prometheusMetrics } from '../../src/http/metrics.ts';
import { startServer } from '../../src/http/server.ts';
import { attestorKind } from '../../src/identity/client-certificate/kind.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { fakeProvider } from '../fakes/provider.ts';
import { authority, type Issued, issue } from '../support/authority.ts';
import { createTestBroker } from '../support/broker.ts';
import { createCertificate } from '../support/certificates.ts';
import { anyStore } from '../support/stores.ts';

const GRANT = {
  who: [{ issuer: 'ci', claims: { sub: 'etl.acme.example' } }],
  tasks: ['nightly'],
  credentials: { db: { target: 'warehouse', ttl: { max: '1h' }, scope: { role: 'reader' } } },
};

/** A broker with its border on TLS, that knows workloads by the certificates of one authority. */
async function openBroker() {
  const times = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 };
  const root = await authority({ subject: 'CN=Mesh', ...times });
  const client = (dns: string) => issue(root, { dns: [dns], ...times });
  const written = attestorKind.settings.parse({
    type: 'client-certificate',
    ca_file: 'ca',
    subject_from: 'dns',
  });
  const resolved = attestorKind.resolve(written, { ca_file: root.pem });
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.error));
  const store = await anyStore();
  const database = await store.open();
  const { verbs, broker } = await createTestBroker({
    database,
    runtime: systemRuntime,
    worlds: { warehouse: fakeProvider({ now: systemRuntime.now }) },
    attestors: [attestorKind.create('ci', resolved.value, systemRuntime)],
    grants: { report: GRANT },
  });
  const { cert, key } = await createCertificate({ name: 'localhost', address: '127.0.0.1' });
  const app = createApp({
    verbs,
    runtime: systemRuntime,
    limits: defaultHttpLimits,
    url: broker.url,
    log: pino({ level: 'silent' }),
    metrics: prometheusMetrics(new Registry()),
    ready: async () => ({ ready: true, reasons: [] }),
    version: '0',
  });
  const server = await startServer({
    app,
    listen: { host: '127.0.0.1', port: 0 },
    tls: { cert, key, clientCertificates: true },
    limits: defaultServerLimits,
    runtime: systemRuntime,
  });
  onTestFinished(async () => {
    await server.stop(0);
    await database.close();
    await store.stop();
  });
  const call = (
    method: string,
    path: string,
    options: { as?: Issued; token?: string; body?: unknown } = {},
  ) =>
    new Promise<{ status: number | undefined; json: Record<string, unknown> }>((resolve, reject) => {
      const { as, token, body } = options;
      const sent = request(
        {
          host: '127.0.0.1',
          port: server.address.port,
          method,
          path,
          ca: cert,
          agent: false,
          headers: {
            ...(token && { authorization: `Bearer ${token}` }),
            ...(body !== undefined && { 'content-type': 'application/json' }),
          },
          ...(as && { cert: as.pem, key: as.keyPem }),
        },
        async (answer) => {
          let text = '';
          for await (const chunk of answer) text += String(chunk);
          resolve({ status: answer.statusCode, json: JSON.parse(text) });
        },
      );
      sent.on('error', reject).end(body === undefined ? undefined : JSON.stringify(body));
    });
  return { call, client };
}

test('mutual TLS: a certificate opens a task, and the token of the task is nothing without it', async () => {
  const { call, client } = await openBroker();
  const as = await client('etl.acme.example');
  const opened = await call('POST', '/v1/tasks', { as, body: { grant: 'report', task: 'nightly' } });
  expect(opened.status).toBe(201);
  const token = opened.json.token as string;
  const { id } = opened.json.task as { id: string };
  const thief = await client('thief.acme.example');
  expect((await call('GET', `/v1/tasks/${id}`, { token })).status).toBe(401);
  expect((await call('GET', `/v1/tasks/${id}`, { token, as: thief })).status).toBe(401);
  expect((await call('GET', `/v1/tasks/${id}`, { token, as })).status).toBe(200);
});

test('mutual TLS: nobody, a stranger and another workload get nothing', async () => {
  const { call, client } = await openBroker();
  const body = { grant: 'report', task: 'nightly' };
  const times = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 };
  const stranger = await issue(await authority({ subject: 'CN=Mesh', ...times }), {
    dns: ['etl.acme.example'],
    ...times,
  });
  expect((await call('POST', '/v1/tasks', { body })).status).toBe(401);
  expect((await call('POST', '/v1/tasks', { body, as: stranger })).status).toBe(401);
  expect((await call('POST', '/v1/tasks', { body, as: await client('web.acme.example') })).status).toBe(403);
});
