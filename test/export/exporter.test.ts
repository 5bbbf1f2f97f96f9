import { createHmac } from 'node:crypto';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import pino from 'pino';
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { createExporter, watchSinks } from '../../src/export/exporter.ts';
import { fileSink } from '../../src/export/file.ts';
import { httpsSink } from '../../src/export/https.ts';
import { ocsfEvent } from '../../src/export/ocsf.ts';
import { otlpSink } from '../../src/export/otlp.ts';
import type { ExportedEntry, Sink } from '../../src/export/sink.ts';
import { syslogSink } from '../../src/export/syslog.ts';
import { createCommitter } from '../../src/store/commit.ts';
import type { Database, Statement } from '../../src/store/database.ts';
import { createCertificate } from '../support/certificates.ts';
import { noted, openTestLog, silent } from '../support/log.ts';
import { createTestRuntime, type TestRuntime, until } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let database: Database;
let runtime: TestRuntime;
let folder: string;
let grow: (count: number) => Promise<void>;

beforeEach(async () => {
  database = await store.open();
  runtime = createTestRuntime();
  folder = mkdtempSync(join(tmpdir(), 'hallpass-export-'));
  const { sequence } = await openTestLog(database, runtime);
  const committer = createCommitter(database, runtime);
  grow = async (count) => {
    await Promise.all(Array.from({ length: count }, (_, i) => committer.commit({ events: [noted(`${i}`)] })));
    await sequence();
  };
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await database.close();
});
afterAll(() => store.stop());

const exporter = (sink: Sink, { holder = 'one', from = 0, name = 'siem' } = {}) =>
  createExporter({ database, runtime, log: silent, holder }, { name, sink, from });

/** A sink in this process, with faults. */
function memorySink() {
  const got: number[] = [];
  const faults: ('refuse' | 'take-and-fail' | null)[] = [];
  const sink: Sink = {
    async deliver(entries) {
      const fault = faults.shift();
      if (fault === 'refuse') throw new Error('refused');
      got.push(...entries.map(({ index }) => index));
      if (fault === 'take-and-fail') throw new Error('no answer');
    },
  };
  return { sink, got, faults };
}

/** Lets the loop work until it waits, and moves the clock on, at most so often. */
async function waits(times: number, enough = () => false): Promise<void> {
  for (let i = 0; i < times && !enough(); i++) {
    await until(() => runtime.sleeping() > 0);
    await runtime.advance(500);
  }
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

function entriesOf(count: number): ExportedEntry[] {
  return numbers(0, count).map((index) => {
    const body = JSON.stringify({
      v: 1,
      id: `id${index}`,
      at: '2026-03-01T12:00:00.123Z',
      kind: 'lease.issued',
      actor: { kind: 'principal', issuer: 'ci', subject: 'jöb' },
      about: { task: 't', lease: 'l', target: 'warehouse' },
      data: { expiresAt: '2026-03-01T13:00:00.000Z', sealed: true },
    });
    return { index, body, ocsf: ocsfEvent(index, body, 'broker.test/audit/log') };
  });
}

test('createExporter: delivers all in order, resumes where it was, and begins where a new sink is told to', async () => {
  await grow(1200);
  const { sink, got } = memorySink();
  const one = exporter(sink);
  expect([await one.tick(), await one.tick(), await one.tick(), await one.tick()]).toEqual([
    500, 500, 200, 0,
  ]);
  expect(got).toEqual(numbers(0, 1200));
  await grow(3);
  expect(await exporter(sink).tick()).toBe(3);
  expect(got).toEqual(numbers(0, 1203));
  const later = memorySink();
  await exporter(later.sink, { name: 'other', from: 1200 }).tick();
  expect(later.got).toEqual([1200, 1201, 1202]);
});

test('createExporter: a sink that refuses, or takes and does not say so, gets everything, at least once and in order', async () => {
  await grow(20);
  const { sink, got, faults } = memorySink();
  faults.push('refuse', 'take-and-fail', 'refuse', null);
  const stop = new AbortController();
  const running = exporter(sink).run(stop.signal);
  const registry = new Registry();
  watchSinks(database, registry);
  await waits(100, () => got.length >= 40);
  expect(got).toEqual([...numbers(0, 20), ...numbers(0, 20)]);
  await waits(3);
  expect(await registry.metrics()).toContain('hallpass_audit_sink_lag_events{sink="siem"} 0');
  await grow(4);
  expect(await registry.metrics()).toContain('hallpass_audit_sink_lag_events{sink="siem"} 4');
  stop.abort();
  await running;
});

test('createExporter: of two replicas one delivers, and the other takes over when it is gone', async () => {
  await grow(5);
  const { sink, got } = memorySink();
  expect(await exporter(sink, { holder: 'one' }).tick()).toBe(5);
  await grow(5);
  expect(await exporter(sink, { holder: 'two' }).tick()).toBe(0);
  runtime.jump(60_000);
  expect(await exporter(sink, { holder: 'two' }).tick()).toBe(5);
  expect(got).toEqual(numbers(0, 10));
});

test('createExporter: a replica whose store answers when its claim has run out leaves the delivery to the next', async () => {
  await grow(5);
  const { sink, got } = memorySink();
  let isSlow = true;
  const slow: Database = {
    ...database,
    async query<Row>(statement: Statement, parameters: readonly unknown[]) {
      const rows = await database.query<Row>(statement, parameters);
      if (statement.name !== 'log_entries' || !isSlow) return rows;
      isSlow = false;
      runtime.jump(61_000);
      expect(await exporter(sink, { holder: 'two' }).tick()).toBe(5);
      await grow(5);
      expect(await exporter(sink, { holder: 'two' }).tick()).toBe(5);
      return rows;
    },
  };
  const context = { database: slow, runtime, log: silent, holder: 'one' };
  expect(await createExporter(context, { name: 'siem', sink, from: 0 }).tick()).toBe(0);
  expect(got).toEqual(numbers(0, 10));
});

test('createExporter: an entry that is gone is not passed over', async () => {
  await grow(3);
  await database.script(
    'alter table audit_event disable trigger all; delete from audit_event where seq = (select seq from log_leaf where index = 1)',
  );
  const { sink, got } = memorySink();
  await expect(exporter(sink).tick()).rejects.toThrow('entry 1 of the log is gone');
  expect(got).toEqual([]);
});

test('createExporter: entries that are said to be archived, and are there, are sent all the same', async () => {
  await grow(10);
  await database.script('update log_head set minimum_index = 8');
  const { sink, got } = memorySink();
  expect(await exporter(sink).tick()).toBe(10);
  expect(got).toEqual(numbers(0, 10));
});

test('createExporter: what was archived before it was sent is passed over, and that is said once', async () => {
  await grow(10);
  await database.script(`
    alter table audit_event disable trigger all; update log_head set minimum_index = 8;
    delete from audit_event where seq in (select seq from log_leaf where index between 2 and 6)`);
  const said: unknown[] = [];
  const log = pino({ level: 'error' }, { write: (line: string) => void said.push(JSON.parse(line)) });
  const { sink, got, faults } = memorySink();
  const one = createExporter({ database, runtime, log, holder: 'one' }, { name: 'siem', sink, from: 0 });
  expect(await one.tick()).toBe(2);
  faults.push('refuse');
  await expect(one.tick()).rejects.toThrow('refused');
  expect(await one.tick()).toBe(2);
  expect(got).toEqual([0, 1, 8, 9]);
  expect(said).toMatchObject([{ consumer: 'siem', from: 2, to: 8 }]);
});

test('fileSink: writes lines, rotates, and mends a line that was cut off', async () => {
  const path = join(folder, 'deep', 'audit.jsonl');
  const sink = fileSink({ path, maxBytes: 3_000, keep: 2 });
  const signal = new AbortController().signal;
  const lines = () => readFileSync(path, 'utf8').trimEnd().split('\n');
  await sink.deliver(entriesOf(2), signal);
  appendFileSync(path, '{"cut');
  await sink.deliver(entriesOf(1), signal);
  expect(lines()).toHaveLength(4);
  expect(JSON.parse(lines()[3]!)).toMatchObject({ class_uid: 3005, metadata: { sequence: 0 } });
  for (let i = 0; i < 12; i++) await sink.deliver(entriesOf(2), signal);
  expect(readdirSync(join(folder, 'deep')).sort()).toEqual(['audit.jsonl', 'audit.jsonl.1', 'audit.jsonl.2']);
});

test('fileSink: a process that died while it put files aside costs none of them', async () => {
  const path = join(folder, 'audit.jsonl');
  writeFileSync(path, 'newest\n');
  // The second was moved to be the third, and the first not yet to be the second.
  writeFileSync(`${path}.1`, 'newer\n');
  writeFileSync(`${path}.3`, 'new\n');
  await fileSink({ path, maxBytes: 1, keep: 3 }).deliver(entriesOf(1), new AbortController().signal);
  expect([1, 2, 3].map((i) => readFileSync(`${path}.${i}`, 'utf8'))).toEqual([
    'newest\n',
    'newer\n',
    'new\n',
  ]);
});

test('httpsSink: signs what it posts, names the entries, and takes no for an answer only as a failure', async () => {
  const secret = Buffer.from(runtime.randomBytes(24)).toString('hex');
  const seen: { headers: Record<string, unknown>; body: string }[] = [];
  let status = 204;
  const server = await listen(
    createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        seen.push({ headers: request.headers, body });
        response.writeHead(status, { location: '/elsewhere' }).end();
      });
    }),
  );
  const sink = httpsSink({ url: server.url, secret }, runtime);
  const signal = new AbortController().signal;
  await sink.deliver(entriesOf(3), signal);
  const [{ headers, body }] = seen as [(typeof seen)[0]];
  const [, seconds, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['hallpass-signature']))!;
  expect(createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')).toBe(mac);
  expect(headers['idempotency-key']).toBe('0-2');
  expect(body.trimEnd().split('\n')).toHaveLength(3);
  status = 500;
  await expect(sink.deliver(entriesOf(1), signal)).rejects.toThrow('It answered 500');
  status = 302;
  await expect(sink.deliver(entriesOf(1), signal)).rejects.toThrow();
  await server.close();
  await expect(sink.deliver(entriesOf(1), signal)).rejects.toThrow();
});

test('otlpSink: posts log records, and a record that is refused is a failure', async () => {
  let answer = '{}';
  let got = '';
  const server = await listen(
    createServer((request, response) => {
      got = '';
      request.on('data', (chunk) => {
        got += chunk;
      });
      request.on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end(answer));
    }),
  );
  const sink = otlpSink({ url: `${server.url}/v1/logs`, authorization: null }, runtime);
  const signal = new AbortController().signal;
  await sink.deliver(entriesOf(2), signal);
  expect(JSON.parse(got)).toMatchObject({
    resourceLogs: [
      {
        scopeLogs: [
          {
            logRecords: [
              {
                timeUnixNano: `${Date.parse('2026-03-01T12:00:00.123Z')}000000`,
                severityNumber: 9,
                eventName: 'hallpass.lease.issued',
                attributes: [{ key: 'hallpass.log.index', value: { intValue: '0' } }, {}, {}],
              },
              {},
            ],
          },
        ],
      },
    ],
  });
  answer = '{"partialSuccess":{"rejectedLogRecords":"1"}}';
  await expect(sink.deliver(entriesOf(2), signal)).rejects.toThrow('refused 1 of 2');
  await server.close();
});

test('syslogSink: sends RFC 5424 messages framed by length over TLS, to whom it trusts alone', async () => {
  const authority = await createCertificate({ name: 'authority' });
  const { cert, key } = await createCertificate({
    name: 'syslog',
    address: '127.0.0.1',
    signedBy: authority,
  });
  let got = Buffer.alloc(0);
  let cut = false;
  const server = createTlsServer({ cert, key }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      if (cut) socket.destroy();
      got = Buffer.concat([got, chunk]);
    });
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const signal = new AbortController().signal;
  await syslogSink({ host: '127.0.0.1', port, ca: authority.cert }).deliver(entriesOf(3), signal);
  const messages: string[] = [];
  for (let rest = got; rest.length > 0; ) {
    const space = rest.indexOf(0x20);
    const length = Number(rest.subarray(0, space).toString());
    messages.push(rest.subarray(space + 1, space + 1 + length).toString());
    rest = rest.subarray(space + 1 + length);
  }
  expect(messages).toHaveLength(3);
  expect(messages[1]).toMatch(
    /^<110>1 2026-03-01T12:00:00\.123Z \S+ hallpass 1 lease\.issued - \{.*"jöb".*\}$/,
  );
  const other = await createCertificate({ name: 'other' });
  await expect(
    syslogSink({ host: '127.0.0.1', port, ca: other.cert }).deliver(entriesOf(1), signal),
  ).rejects.toThrow();
  cut = true;
  await expect(
    syslogSink({ host: '127.0.0.1', port, ca: authority.cert }).deliver(entriesOf(2_000), signal),
  ).rejects.toThrow();
  await new Promise((resolve) => server.close(resolve));
});

async function listen(server: Server): Promise<{ readonly url: string; close(): Promise<void> }> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await until(() => !server.listening);
    },
  };
}
