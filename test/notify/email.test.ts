import type { AddressInfo } from 'node:net';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { afterEach, beforeAll, expect, test } from 'vitest';
import type { AuditEvent } from '../../src/audit/event.ts';
import { Refused, SinkError } from '../../src/export/sink.ts';
import { type EmailSettings, emailChannel } from '../../src/notify/email.ts';
import { type Notice, noticeOf } from '../../src/notify/notice.ts';
import { createCertificate, type TestCertificate } from '../support/certificates.ts';
import { createTestRuntime } from '../support/runtime.ts';

interface Mail {
  readonly from: string;
  readonly to: readonly string[];
  readonly secure: boolean;
  readonly user: string | undefined;
  readonly text: string;
}

let authority: TestCertificate;
let certificate: TestCertificate;
beforeAll(async () => {
  authority = await createCertificate({ name: 'authority' });
  certificate = await createCertificate({ name: 'mail', address: '127.0.0.1', signedBy: authority });
});

const servers: SMTPServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise<void>((resolve) => server.close(resolve));
});

/** A real SMTP server on loopback. */
async function startMail(options: SMTPServerOptions = {}, refuse: { code: number } | null = null) {
  const mails: Mail[] = [];
  const server = new SMTPServer({
    cert: certificate.cert,
    key: certificate.key,
    authOptional: true,
    logger: false,
    onData(stream, session, callback) {
      let text = '';
      stream.on('data', (chunk: Buffer) => {
        text += chunk;
      });
      stream.on('end', () => {
        if (refuse !== null) return callback(Object.assign(new Error('no'), { responseCode: refuse.code }));
        const { mailFrom, rcptTo } = session.envelope;
        mails.push({
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          secure: session.secure === true,
          user: session.user as string | undefined,
          text,
        });
        callback();
      });
    },
    ...options,
  });
  server.on('error', () => {});
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const { port } = server.server.address() as AddressInfo;
  return { port, mails };
}

const channelTo = (port: number, over: Partial<EmailSettings> = {}) =>
  emailChannel({
    host: '127.0.0.1',
    port,
    from: 'hallpass@example.com',
    to: 'approvers@example.com',
    login: null,
    ca: authority.cert,
    tls: 'starttls',
    ...over,
  });

const EVENT = {
  v: 1,
  id: '01hzy0000000000000000000ev',
  at: '2026-03-01T12:00:00.000Z',
  kind: 'request.created',
  actor: { kind: 'principal', issuer: 'ci', subject: 'asker' },
  about: { grant: 'report' },
  data: {
    id: '01hzy0000000000000000000aa',
    digest: 'A'.repeat(43),
    ask: {
      task: 'nightly',
      purpose: 'an incident',
      parameters: { region: 'eu' },
      grantVersion: 'v',
      taskGrant: null,
      credentials: [
        { name: 'db', target: 'warehouse', scope: { role: 'x' }, ttlSeconds: 900, capSeconds: 3600 },
      ],
    },
    onBehalfOf: ['Ada'],
    expiresAt: '2026-03-01T13:00:00.000Z',
  },
} as const satisfies AuditEvent;

const NOTICE = noticeOf(EVENT, 'https://hallpass.example');
const never = new AbortController().signal;
const send = (channel: ReturnType<typeof channelTo>, notice: Notice = NOTICE) =>
  channel.send(notice, EVENT, never);

/** The message with its transfer codings undone, as far as these tests need it. */
const decoded = (text: string) =>
  text
    .replaceAll('=\r\n', '')
    .replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));

test('emailChannel: sends by STARTTLS, as text and HTML, with the link', async () => {
  const { port, mails } = await startMail();
  await send(channelTo(port));
  const [mail] = mails as [Mail];
  expect(mail).toMatchObject({
    from: 'hallpass@example.com',
    to: ['approvers@example.com'],
    secure: true,
  });
  const text = decoded(mail.text);
  expect(text).toMatch(/^Subject: \[hallpass\] Approval is asked for grant report\r$/m);
  expect(text).toMatch(/^Message-ID: <01hzy0000000000000000000ev@example\.com>\r$/m);
  expect(text).toMatch(/^Auto-Submitted: auto-generated\r$/m);
  for (const part of ['Who: asker (ci)', 'On behalf of: Ada', 'Task: nightly', 'Why: an incident'])
    expect(text).toContain(part);
  expect(text).toContain('decide: https://hallpass.example/requests/01hzy0000000000000000000aa');
  expect(text).toContain('<a href="https://hallpass.example/requests/01hzy0000000000000000000aa">');
});

test('emailChannel: logs in', async () => {
  const secret = Buffer.from(createTestRuntime().randomBytes(12)).toString('hex');
  const { port, mails } = await startMail({
    authOptional: false,
    onAuth: ({ username, password }, _session, callback) =>
      username === 'hallpass' && password === secret
        ? callback(null, { user: username })
        : callback(new Error('Invalid')),
  });
  await send(channelTo(port, { login: { user: 'hallpass', password: secret } }));
  expect(mails).toMatchObject([{ user: 'hallpass' }]);
  const wrong = send(channelTo(port, { login: { user: 'hallpass', password: `${secret}x` } }));
  await expect(wrong).rejects.toBeInstanceOf(Refused);
  await wrong.catch((error: Error) => expect(error.message).not.toContain(secret));
});

test('emailChannel: sends nothing without TLS, and to nobody whose certificate is not good', async () => {
  const plain = await startMail({ disabledCommands: ['STARTTLS'] });
  await expect(send(channelTo(plain.port))).rejects.toBeInstanceOf(SinkError);
  expect(plain.mails).toEqual([]);
  const { port, mails } = await startMail();
  await expect(send(channelTo(port, { ca: null }))).rejects.toBeInstanceOf(SinkError);
  expect(mails).toEqual([]);
  // The dangerous option, by its name.
  await send(channelTo(plain.port, { tls: 'none' }));
  expect(plain.mails).toMatchObject([{ secure: false }]);
});

test('emailChannel: tells what is refused for good from what may pass', async () => {
  const gone = await startMail({}, { code: 550 });
  await expect(send(channelTo(gone.port))).rejects.toBeInstanceOf(Refused);
  const full = await startMail({}, { code: 452 });
  const passing = send(channelTo(full.port));
  await expect(passing).rejects.toBeInstanceOf(SinkError);
  await expect(passing).rejects.not.toBeInstanceOf(Refused);
  const away = send(channelTo(1));
  await expect(away).rejects.toThrow('It was not reached');
  await expect(away).rejects.not.toBeInstanceOf(Refused);
});

test('emailChannel: sends over TLS from the start', async () => {
  const { port, mails } = await startMail({ secure: true });
  await send(channelTo(port, { tls: 'implicit' }));
  expect(mails).toMatchObject([{ secure: true }]);
  await expect(send(channelTo(port, { tls: 'implicit', ca: null }))).rejects.toBeInstanceOf(SinkError);
  expect(mails).toHaveLength(1);
});

test('emailChannel: lets go of a server that does not come to an end when it is told to', async () => {
  let arrived = () => {};
  const connected = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  // It never greets.
  const { port } = await startMail({ onConnect: () => arrived() });
  const stop = new AbortController();
  const sending = channelTo(port).send(NOTICE, EVENT, stop.signal);
  sending.catch(() => {});
  await connected;
  stop.abort();
  await expect(sending).rejects.toBeInstanceOf(SinkError);
});

test('emailChannel: nothing that others write makes a header, a part, a link or a tag', async () => {
  const { port, mails } = await startMail();
  const hostile = [
    'x\r\nBcc: evil@example.com\r\n\r\nbody',
    '\n.\r\nMAIL FROM:<evil@example.com>',
    '<img src=x onerror=alert(1)><a href="https://evil.example">Read it</a>',
    'https://evil.example/x www.evil.example \u202eabc',
    '--_NmP-boundary\r\nContent-Type: text/html',
  ];
  for (const text of hostile) {
    const event = {
      ...EVENT,
      actor: { ...EVENT.actor, subject: text },
      about: { grant: text },
      data: {
        ...EVENT.data,
        ask: { ...EVENT.data.ask, purpose: text, task: text, parameters: { [text]: text } },
      },
    };
    await send(channelTo(port), noticeOf(event, 'https://hallpass.example'));
  }
  expect(mails).toHaveLength(hostile.length);
  for (const mail of mails) {
    expect(mail.to).toEqual(['approvers@example.com']);
    const text = decoded(mail.text);
    const [head = ''] = mail.text.split('\r\n\r\n');
    const names = [...head.matchAll(/^([\w-]+):/gm)].map(([, name]) => name?.toLowerCase());
    expect(names.toSorted()).toEqual(
      [
        'auto-submitted',
        'content-type',
        'date',
        'from',
        'message-id',
        'mime-version',
        'subject',
        'to',
      ].toSorted(),
    );
    expect(text).not.toMatch(/:\/\/evil|www\.evil|\u202e/);
    const html = text.slice(text.search(/^Content-Type: text\/html; charset/m));
    expect(html.match(/<[^>]*>/g)?.filter((tag) => !/^<\/?(p|a|table|tr|th|td)\b/.test(tag))).toEqual([]);
    expect(html.match(/href="[^"]*"/g)).toHaveLength(1);
    expect(text.match(/^Content-Type:/gm)).toHaveLength(3);
  }
});
