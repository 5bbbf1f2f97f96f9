import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pino from 'pino';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { SealOptions } from '../../src/cli/kit-lines.ts';
import { createClient } from '../../src/client/client.ts';
import { readFileFromDisk } from '../../src/config/files.ts';
import { loadConfig } from '../../src/config/load.ts';
import { attestorKinds, providerKinds } from '../../src/kinds.ts';
import { replayCommand } from '../../src/offline-replay.ts';
import { checkCommand, finishCommand, openCommand, openOrSay } from '../../src/offline-run.ts';
import { sealCommand } from '../../src/offline-seal.ts';
import { type Runtime, systemRuntime } from '../../src/runtime.ts';
import { type RunningBroker, startBroker } from '../../src/serve.ts';
import { openDatabase } from '../../src/store/database.ts';
import { listEvents } from '../../src/store/events.ts';
import { fakeIo } from '../cli/support/io.ts';
import { program } from '../cli/support/programs.ts';
import { BATCH_JOB, buildWorld, OPERATOR, type World } from '../demo/world.ts';
import { bundleExecutable } from '../faults/executable.ts';
import { freePort } from '../support/ports.ts';
import { layEmbeddedStore } from '../support/stores.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

// A kit holds a broker with its store, and starts it at each opening.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const HOLDERS = ['ada', 'bob', 'cyd', 'dan', 'eve', 'fay', 'gus', 'hal'];
const PURPOSE = 'the broker is gone and orders are stuck';
let world: World;
let executable: string;
let network: TcpProxy;
let broker: RunningBroker;
const logged: string[] = [];
let kits = 0;

beforeAll(async () => {
  world = await buildWorld();
  await layEmbeddedStore(join(world.folder, 'state'));
  executable = await bundleExecutable(join(world.folder, 'package'));
  const port = await freePort();
  network = await startTcpProxy({ host: '127.0.0.1', port });
  const text = readFileSync(world.configuration, 'utf8')
    .replace(`url: ${world.url}`, `url: http://127.0.0.1:${network.port}`)
    .replace(/listen: \S+/, `listen: 127.0.0.1:${port}`);
  writeFileSync(world.configuration, text, { mode: 0o600 });
  const config = await loadConfig({
    path: world.configuration,
    env: {},
    readFile: readFileFromDisk,
    attestors: attestorKinds,
    providers: providerKinds,
  });
  if (!config.ok) throw new Error(JSON.stringify(config.error));
  const log = pino({ level: 'info' }, { write: (line: string) => void logged.push(line) });
  broker = await startBroker(config.value, systemRuntime, log, '0.0.0');
});
afterAll(async () => {
  network.set({ kind: 'fair' });
  await broker?.stop();
  await network?.close();
  await world?.[Symbol.asyncDispose]();
});

/** A terminal at which somebody types these codes, and that counts how often it asked. */
function terminal(
  codes: readonly string[] = [],
  env: Record<string, string> = {},
  runtime: Partial<Runtime> = {},
) {
  const made = fakeIo(env, runtime);
  const asked = { times: 0 };
  const secrets = async (prompts: readonly string[]) => {
    asked.times++;
    return codes.slice(0, prompts.length);
  };
  return { io: { ...made.io, secrets }, written: made.written, asked };
}

const operator = async () => ({ HALLPASS_TOKEN: await world.tokenFor(OPERATOR) });

/** A kit of its own, with its codes, sealed while the broker is there. */
async function seal(over: Partial<SealOptions> = {}) {
  network.set({ kind: 'fair' });
  const folder = mkdtempSync(join(world.folder, `kit-${++kits}-`));
  const options: SealOptions = {
    config: world.configuration,
    grant: ['nightly-report'],
    holder: HOLDERS,
    threshold: 2,
    expires: new Date(Date.now() + 30 * 86_400_000).toISOString().slice(0, 10),
    out: join(folder, 'kit'),
    stateDirectory: join(folder, 'state'),
    ...over,
  };
  const { io, written } = terminal([], await operator());
  const status = await sealCommand(io, options);
  const codes = written.out
    .trim()
    .split('\n')
    .map((line) => line.replace(/^\w+: /, ''));
  const id = /Kit (\w{26})/.exec(written.err)?.[1] ?? '';
  return { status, folder, file: options.out, state: join(options.stateDirectory, id), codes, id };
}

type Kit = Awaited<ReturnType<typeof seal>>;

/** With a store where it will look for one: to make one takes it seconds, which the first test spends for all. */
async function laid(kit: Kit): Promise<Kit> {
  await layEmbeddedStore(join(kit.state, 'store'));
  return kit;
}

interface Opening {
  readonly codes: readonly string[];
  readonly file?: string;
  readonly task?: string;
  readonly shiftMs?: number;
}

/** Opens a kit in this process; the command writes down as whom it runs. */
async function open(
  kit: Kit,
  { codes, file = kit.file, task = 'nightly-report', shiftMs = 0 }: Opening,
  end = 'exit 7',
) {
  const report = join(kit.folder, `report-${Math.random()}`);
  // Until it asks for codes it looks for the broker, and has more patience with one that does not answer than we have.
  const looks = () => asked.times === 0;
  const { io, written, asked } = terminal(
    codes,
    {},
    {
      now: () => Date.now() + shiftMs,
      sleep: (ms, signal) => systemRuntime.sleep(looks() ? ms / 50 : ms, signal),
      after: (ms, then) => systemRuntime.after(looks() ? ms / 4 : ms, then),
    },
  );
  const command = ['/bin/sh', '-c', `echo "$PGUSER" > ${report}; ${end}`];
  const options = { grant: 'nightly-report', task, purpose: PURPOSE };
  const status = await openCommand(io, options, file, command, '0.0.0').catch(
    (error: Error) => error.message,
  );
  const user = existsSync(report) ? readFileSync(report, 'utf8').trim() : null;
  return { status, user, err: written.err, asked: asked.times };
}

async function replay(kit: Kit) {
  network.set({ kind: 'fair' });
  const { io, written } = terminal([], await operator());
  const status = await replayCommand(io, { json: true }, kit.file).catch((error: Error) => error.message);
  return { status, err: written.err, answer: written.out === '' ? null : JSON.parse(written.out) };
}

/** What the broker's log says of a kit. */
async function told(kit: Kit, kind: string) {
  network.set({ kind: 'fair' });
  const client = createClient({
    url: `http://127.0.0.1:${network.port}`,
    token: () => world.tokenFor(OPERATOR),
  });
  const { events } = await client.audit({ kind, limit: 500 } as never);
  return events.filter((event) => JSON.stringify(event).includes(kit.id));
}

async function storeOf<T>(
  kit: Kit,
  look: (database: Awaited<ReturnType<typeof openDatabase>>) => Promise<T>,
) {
  const database = await openDatabase({ url: null, directory: join(kit.state, 'store') });
  try {
    return await look(database);
  } finally {
    await database.close();
  }
}

const eventsOf = (kit: Kit) =>
  storeOf(kit, async (database) => (await listEvents(database, {}, null, 1000)).map(({ event }) => event));

test('kit: sealed while all is well, refused while the broker is ready, and opened behind a partition', async () => {
  const kit = await seal();
  expect(kit.status).toBe(0);
  expect(kit.codes).toHaveLength(HOLDERS.length);
  expect(await told(kit, 'kit.sealed')).toHaveLength(1);

  const refused = await open(kit, { codes: kit.codes });
  expect(refused).toMatchObject({ status: 125, user: null, asked: 0, err: /is ready; use "hallpass exec"/ });
  expect(existsSync(kit.state)).toBe(false);

  network.set({ kind: 'down' });
  const [a = '', b = '', c = '', d = ''] = kit.codes;
  // What the grant does not cover uses up no code.
  expect(await open(kit, { codes: [a, b], task: 'another' })).toMatchObject({ status: 125, user: null });
  const opened = await open(kit, { codes: [a, b] });
  expect(opened).toMatchObject({ status: 7, user: expect.stringMatching(/^hp_/) });
  expect(await world.ourRoles()).toEqual([]);

  // A code opens once: with whatever other it comes, and from whatever copy.
  const copy = join(kit.folder, 'copy');
  copyFileSync(kit.file, copy);
  for (const again of [{ codes: [a, b] }, { codes: [b, c] }, { codes: [a, b], file: copy }])
    expect(await open(kit, again)).toMatchObject({ status: 125, user: null });
  expect(await open(kit, { codes: [d, c], file: copy })).toMatchObject({ status: 7 });
  expect(await open(kit, { codes: [d] })).toMatchObject({ status: /it takes 2 codes/, user: null });
  expect(await open(kit, { codes: [d, 'ABCD-EFGH'] })).toMatchObject({ status: /code 2/, user: null });

  const events = await eventsOf(kit);
  const lives = events.map(({ kind }) => kind).filter((kind) => kind.startsWith('lease.'));
  expect(lives).toEqual(
    [1, 2].flatMap(() => ['lease.intended', 'lease.issued', 'lease.ending', 'lease.ended']),
  );
  expect(events.find(({ kind }) => kind === 'task.opened')).toMatchObject({
    actor: { issuer: 'kit', subject: kit.id },
    data: { claims: { codes: '0,1', holders: 'ada, bob' }, proof: { method: 'kit-codes' } },
  });

  const first = await replay(kit);
  expect(first.answer).toMatchObject({ replayed: events.length, known: 0, codes_reused: [], complete: true });
  expect((await replay(kit)).answer).toMatchObject({ replayed: 0, known: events.length });
  const entries = await told(kit, 'offline.replayed');
  expect(entries).toHaveLength(events.length);
  expect(entries.map(({ data }) => (data as { event: { id: string } }).event.id).sort()).toEqual(
    events.map(({ id }) => id).sort(),
  );

  // Codes and secrets are nowhere but where they were given.
  const password = readFileSync(
    /password_file: (\S+)/.exec(readFileSync(world.configuration, 'utf8'))![1]!,
    'utf8',
  );
  const everything = [JSON.stringify(events), JSON.stringify(entries), logged.join(), opened.err].join();
  for (const secret of [password, ...kit.codes]) {
    expect(everything).not.toContain(secret);
    expect(readFileSync(kit.file, 'utf8')).not.toContain(secret);
  }
});

test('kit: an expired one opens nothing, and neither does one whose broker does not know it', async () => {
  const kit = await seal();
  network.set({ kind: 'down' });
  expect(await open(kit, { codes: kit.codes, shiftMs: 31 * 86_400_000 })).toMatchObject({
    status: /it expired on/,
    asked: 0,
  });
  const { io } = terminal([], { HALLPASS_TOKEN: await world.tokenFor(BATCH_JOB) });
  network.set({ kind: 'fair' });
  const stranger = { ...(await sealOptions(kit)), out: join(kit.folder, 'other') };
  await expect(sealCommand(io, stranger)).rejects.toThrow(/No policy allows/);
  expect(existsSync(stranger.out)).toBe(false);
});

async function sealOptions(kit: Kit): Promise<SealOptions> {
  return {
    config: world.configuration,
    grant: ['nightly-report'],
    holder: ['ada', 'bob'],
    threshold: 2,
    expires: new Date(Date.now() + 86_400_000 * 2).toISOString().slice(0, 10),
    out: join(kit.folder, 'other'),
    stateDirectory: join(kit.folder, 'state'),
  };
}

test('kit check: tries codes and targets, and uses no code up', async () => {
  const kit = await laid(await seal());
  const { io, written } = terminal(kit.codes);
  expect(await checkCommand(io, kit.file, true), written.out).toBe(0);
  expect(written.out).toContain('warehouse');
  network.set({ kind: 'down' });
  expect(await open(kit, { codes: kit.codes })).toMatchObject({ status: 7 });
});

test('kit: a code that opens on two machines is found when both have been replayed', async () => {
  const kit = await laid(await seal());
  network.set({ kind: 'down' });
  const [a = '', b = '', c = ''] = kit.codes;
  expect(await open(kit, { codes: [a, b] })).toMatchObject({ status: 7 });
  // Another machine: it has the kit, and none of the state.
  renameSync(kit.state, `${kit.state}-elsewhere`);
  await laid(kit);
  network.set({ kind: 'blackhole' });
  expect(await open(kit, { codes: [a, c] })).toMatchObject({ status: 7 });
  expect((await replay(kit)).answer).toMatchObject({ codes_reused: [] });
  renameSync(kit.state, `${kit.state}-second`);
  renameSync(`${kit.state}-elsewhere`, kit.state);
  const second = await replay(kit);
  expect(second.answer).toMatchObject({ codes_reused: [{ code: 0, holder: 'ada' }] });
  expect(second).toMatchObject({ status: 6, err: /ALARM: the code of ada/ });
  expect(await told(kit, 'kit.code-reused')).toHaveLength(1);
  await replay(kit);
  expect(await told(kit, 'kit.code-reused')).toHaveLength(1);
  expect(logged.join()).toContain('single-use codes of a kit were used twice');
});

test('kit replay: a log that was altered is refused, and the first bad entry is named', async () => {
  const kit = await laid(await seal());
  network.set({ kind: 'down' });
  expect(await open(kit, { codes: kit.codes })).toMatchObject({ status: 7 });
  const index = await storeOf(kit, async (database) => {
    // As the owner of the tables does who wants to change history.
    await database.script(
      "alter table audit_event disable trigger all; update audit_event set body = replace(body, 'orders', 'ordars') where kind = 'task.opened'",
    );
    const events = await listEvents(database, {}, null, 1000);
    return events.findIndex(({ event }) => event.kind === 'task.opened');
  });
  const refused = await replay(kit);
  expect(refused.status).toMatch(new RegExp(`Entry ${index} is not what the kit signed`));
  expect(await told(kit, 'offline.replayed')).toEqual([]);
});

/** `hallpass` as a process of its own, with codes on its standard input. */
function start(kit: Kit, codes: readonly string[], script: string) {
  const hallpass = program(process.execPath, [executable], {
    PATH: `${process.env.PATH}`,
    HOME: kit.folder,
  });
  const ask = ['--grant', 'nightly-report', '--task', 'nightly-report', '--purpose', PURPOSE];
  return hallpass(['kit', 'open', kit.file, ...ask, '--', '/bin/sh', '-c', script], `${codes.join('\n')}\n`);
}

test('kit: of two openings at once with the same codes one runs its command', async () => {
  const kit = await seal();
  network.set({ kind: 'down' });
  const mark = join(kit.folder, 'ran');
  const both = [1, 2].map((n) => start(kit, kit.codes.slice(0, 2), `touch ${mark}-${n}`));
  const ended = await Promise.all(both.map((one) => one.ended));
  expect(readdirSync(kit.folder).filter((name) => name.startsWith('ran-'))).toHaveLength(1);
  expect(
    ended.filter(({ code }) => code === 0),
    JSON.stringify(ended),
  ).toHaveLength(1);
  expect(await world.ourRoles()).toEqual([]);
});

test('kit finish: ends what a killed opening left, with nothing in any command line, and then all is replayed', async () => {
  const kit = await laid(await seal());
  network.set({ kind: 'down' });
  const [report, codes] = [join(kit.folder, 'report'), kit.codes.slice(0, 2)];
  const running = start(kit, codes, `echo $$ > ${report}.new; mv ${report}.new ${report}; exec sleep 600`);
  while (!existsSync(report)) {
    if (await Promise.race([running.ended, delay(100)])) throw new Error(running.err());
  }
  const [role] = await world.ourRoles();
  expect(role).toMatch(/^hp_/);
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const line = lineOf(pid);
    for (const code of codes) expect(line).not.toContain(code);
  }
  running.kill('SIGKILL');
  process.kill(Number(readFileSync(report, 'utf8')), 'SIGKILL');
  await running.ended;
  expect(await world.ourRoles()).toEqual([role]);
  expect((await replay(kit)).status).not.toBe(0);

  const { io, written } = terminal(codes);
  expect(await finishCommand(io, kit.file, '0.0.0'), written.err).toBe(0);
  expect(await world.ourRoles()).toEqual([]);
  const events = await eventsOf(kit);
  // Whichever of the two sees it first: whoever recovers, or the reaper, once the heartbeat is overdue.
  const reason = expect.stringMatching(/^(abandoned|heartbeat-missed)$/);
  expect(events.filter(({ kind }) => kind === 'task.ended')).toMatchObject([{ data: { reason } }]);
  expect(events.filter(({ kind }) => kind === 'lease.ended')).toMatchObject([
    { data: { outcome: 'revoked' } },
  ]);
  expect(await replay(kit)).toMatchObject({ status: 0, answer: { complete: true } });
  expect(await told(kit, 'offline.replayed')).toHaveLength(events.length);
});

function lineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

test('openOrSay: what cannot be opened ends as a command that never ran', async () => {
  const { io, written } = terminal([]);
  const options = { grant: 'nightly-report', task: 'x', purpose: PURPOSE };
  expect(await openOrSay(io, options, '/nowhere.kit', ['true'], '0.0.0')).toBe(125);
  expect(written.err).toBe('hallpass: Cannot read "/nowhere.kit": ENOENT\n');
});
