import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeProtectedHeader } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Refusal } from '../../src/broker/refusal.ts';
import type { Presented } from '../../src/broker/verbs.ts';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { HallpassError } from '../../src/errors.ts';
import { commandLine } from './support/run.ts';

let folder: string;
/** Where secrets are put while a command runs. */
let runtimeDir: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hallpass-test-'));
  runtimeDir = await mkdtemp(join(tmpdir(), 'hallpass-run-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
  await rm(runtimeDir, { recursive: true });
});

const open = ['exec', '--grant', 'reports', '--task', 'nightly-1'];

function setUp(options: Parameters<typeof commandLine>[0] = {}) {
  const line = commandLine({ ...options, env: { XDG_RUNTIME_DIR: runtimeDir, ...options.env } });
  const report = join(folder, 'report');
  /** A command that runs `script` in a shell; what it prints to descriptor 3 can be read afterwards. */
  const shell = (script: string) => ['--', '/bin/sh', '-c', `exec 3>${report}; ${script}`];
  return {
    ...line,
    shell,
    reported: () => (existsSync(report) ? readFileSync(report, 'utf8') : ''),
    task: () => [...line.verbs.tasks.values()][0],
    lease: () => [...line.verbs.leases.values()][0],
  };
}

/** Whatever happened: everything was asked back, no file is left, and no signal is still caught. */
function expectCleanedUp(line: ReturnType<typeof setUp>, exitStatus: number | null) {
  expect(line.task()).toMatchObject({ state: 'ended', exitStatus });
  expect(line.lease()).toMatchObject({ state: 'ended', outcome: 'revoked' });
  expect(readdirSync(runtimeDir)).toEqual([]);
  expect(line.listeners()).toBe(0);
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

it('exec: with --dpop each use of the token is proven with the key that the task was opened with', async () => {
  const line = setUp();
  expect(await line.run(...open, '--dpop', ...line.shell('true'))).toBe(0);
  expectCleanedUp(line, 0);
  const presented = line.verbs.calls.flatMap(({ verb, args }) =>
    verb === 'identify' ? [args[2] as Presented] : [],
  );
  expect(presented.map(({ scheme }) => scheme)).toEqual(['Bearer', 'DPoP']);
  const keys = presented.map(({ proof }) => decodeProtectedHeader(proof?.jwt ?? '').jwk);
  expect(keys[0]).toBeDefined();
  expect(keys[1]).toEqual(keys[0]);
});

describe('exec: what the command gets', () => {
  it('names the login in the environment, and the password in a file that only we can read', async () => {
    const line = setUp();
    const script = [
      'echo "$PGHOST $PGPORT $PGDATABASE $PGUSER $PGPASSWORD." >&3',
      'cat "$PGPASSFILE" >&3',
      'stat -c %a "$PGPASSFILE" "$(dirname "$PGPASSFILE")" >&3',
      'env | grep -c "^HALLPASS_TOKEN=" >&3',
    ].join('; ');
    expect(await line.run(...open, ...line.shell(script))).toBe(1);
    const name = `hp_test_${line.lease()!.id}`;
    const [seen, password, fileMode, folderMode, tokens] = line.reported().split('\n');
    expect(seen).toBe(`127.0.0.1 5432 warehouse ${name} .`);
    expect(password).toMatch(new RegExp(`^127\\.0\\.0\\.1:5432:warehouse:${name}:[\\w-]{24}$`));
    expect([fileMode, folderMode, tokens]).toEqual(['600', '700', '0']);
    expectCleanedUp(line, 1);
  });

  it('hides static variables that would win over the credential, and says so', async () => {
    const env = {
      PGPASSWORD: 'static',
      PGHOST: 'elsewhere',
      PGSERVICE: 'old',
      DATABASE_URL: 'postgres://old',
    };
    const line = setUp({ env });
    await line.run(...open, ...line.shell('echo "[$PGPASSWORD$PGSERVICE] $PGHOST" >&3'));
    expect(line.reported()).toBe('[] 127.0.0.1\n');
    expect(line.written.err).toMatch(/PGHOST of the environment: replaced/);
    expect(line.written.err).toMatch(/PGPASSWORD, PGSERVICE of the environment: hidden/);
    expect(line.written.err).toMatch(/DATABASE_URL is set/);
    expect(line.written.err).not.toContain('static');
  });

  it('keeps several credentials of one type apart by prefix, and refuses to guess', async () => {
    const two = ['--credential', 'source', '--credential', 'sink'];
    const unclear = setUp();
    expect(await unclear.run(...open, ...two, ...unclear.shell('echo ran >&3'))).toBe(EXIT.notStarted);
    expect(unclear.written.err).toContain('--prefix sink=SINK_');
    expect(unclear.reported()).toBe('');
    expectCleanedUp(unclear, null);
    const clear = setUp();
    const script =
      'echo "$PGDATABASE $SINK_PGDATABASE $DB_SECRET" >&3; cmp "$PGPASSFILE" "$SINK_PGPASSFILE" >/dev/null';
    const more = ['--prefix', 'sink=SINK_', '--env', 'DB_SECRET=sink.database'];
    expect(await clear.run(...open, ...two, ...more, ...clear.shell(script))).toBe(1);
    expect(clear.reported()).toBe('source sink sink\n');
  });

  it('gives a secret of an unknown type as a file', async () => {
    const secretOf = () => ({ type: 'oracle-bones', values: { crack: 'left' } });
    const line = setUp({ border: { secretOf } });
    await line.run(...open, ...line.shell('cat "$HALLPASS_CREDENTIAL_FILE" >&3'));
    expect(JSON.parse(line.reported())).toEqual({ type: 'oracle-bones', values: { crack: 'left' } });
    expectCleanedUp(line, 0);
  });

  it('passes options after the command to the command', async () => {
    const line = setUp();
    expect(
      await line.run(
        ...open,
        '--',
        process.execPath,
        '-e',
        'process.exit(process.argv.length)',
        '--',
        '--grant',
        'x',
      ),
    ).toBe(3);
  });
});

describe('exec: however it ends', () => {
  it.each([0, 1, 42, 255])('passes the exit status %i on', async (status) => {
    const line = setUp();
    expect(await line.run(...open, ...line.shell(`exit ${status}`))).toBe(status);
    expectCleanedUp(line, status);
  });

  it('asks back when there is no such command, and when it cannot be run', async () => {
    const absent = setUp();
    expect(await absent.run(...open, '--', '/no/such/command')).toBe(EXIT.noSuchCommand);
    expectCleanedUp(absent, 127);
    const plain = join(folder, 'plain');
    writeFileSync(plain, '');
    chmodSync(plain, 0o600);
    const locked = setUp();
    expect(await locked.run(...open, '--', plain)).toBe(EXIT.cannotRun);
    expectCleanedUp(locked, 126);
  });

  it('asks back when the command is killed', async () => {
    const line = setUp();
    expect(await line.run(...open, ...line.shell('kill -KILL $$'))).toBe(137);
    expectCleanedUp(line, 137);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const)('forwards %s', async (signal) => {
    const line = setUp();
    const script = `trap "echo got >&3; exit 9" ${signal.slice(3)}; echo ready >&3; while :; do sleep 0.02; done`;
    const ending = line.run(...open, ...line.shell(script));
    await until(() => line.reported().includes('ready'));
    line.send(signal);
    expect(await ending).toBe(9);
    expect(line.reported()).toContain('got');
    expectCleanedUp(line, 9);
  });

  it('leaves Ctrl-C to the terminal, which tells the command itself', async () => {
    const line = setUp();
    Object.assign(line.io, { stdinIsTty: true });
    const script = 'trap "exit 9" INT; trap "exit 5" TERM; echo ready >&3; while :; do sleep 0.02; done';
    const ending = line.run(...open, ...line.shell(script));
    await until(() => line.reported().includes('ready'));
    line.send('SIGINT');
    line.send('SIGTERM');
    expect(await ending).toBe(5);
  });

  it('does not start the command when a signal came first, and asks back what it had got', async () => {
    let asked = () => {};
    const asking = new Promise<void>((resolve) => (asked = resolve));
    let release = () => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    const before = async (verb: string) => {
      if (verb !== 'openTask') return undefined;
      asked();
      await gate;
      return undefined;
    };
    const line = setUp({ border: { before } });
    const ending = line.run(...open, ...line.shell('echo ran >&3'));
    await asking;
    line.send('SIGTERM');
    release();
    expect(await ending).toBe(143);
    expect(line.reported()).toBe('');
    expectCleanedUp(line, 143);
  });

  it('does not start the command without its credentials', async () => {
    const before = async (verb: string): Promise<Refusal | undefined> =>
      verb === 'openTask' ? { reason: 'not-allowed', detail: 'x' } : undefined;
    const line = setUp({ border: { before } });
    expect(await line.run(...open, ...line.shell('echo ran >&3'))).toBe(EXIT.notStarted);
    expect(line.reported()).toBe('');
    expect(line.written.err).toContain('No policy allows this request');
    expect(line.listeners()).toBe(0);
  });

  it('says so when the broker cannot be told, and still gives the status of the command', async () => {
    const network = (pass: typeof fetch) => async (input: string | URL | Request, init?: RequestInit) => {
      if (String(input).endsWith('/complete')) throw new TypeError('fetch failed');
      return pass(input, init);
    };
    const line = setUp({ network });
    expect(await line.run(...open, ...line.shell('exit 4'))).toBe(4);
    expect(line.written.err).toContain('Cannot tell the broker that the task has ended');
    expect(line.written.err).toContain(`hallpass complete ${line.task()!.id}`);
    expect(readdirSync(runtimeDir)).toEqual([]);
  });
});

describe('exec: heartbeats', () => {
  const beats = (line: ReturnType<typeof setUp>) =>
    line.verbs.calls.filter(({ verb }) => verb === 'heartbeat').length;
  const waiting = (line: ReturnType<typeof setUp>) => {
    const flag = join(folder, 'go');
    const ending = line.run(...open, ...line.shell(`while [ ! -e ${flag} ]; do sleep 0.02; done`));
    return { ending, finish: () => writeFileSync(flag, '') };
  };

  it('come while the command runs, and stop with it', async () => {
    const line = setUp({ border: { heartbeatSeconds: 60 } });
    const { ending, finish } = waiting(line);
    await until(() => beats(line) >= 3);
    finish();
    await ending;
    const last = line.verbs.calls.at(-1)?.verb;
    expect(last).toBe('completeTask');
    expectCleanedUp(line, 0);
  });

  it('come at a third of the grace', async () => {
    const waits: number[] = [];
    const line = setUp({ border: { heartbeatSeconds: 60 } });
    const { sleep } = line.io.runtime;
    Object.assign(line.io.runtime, {
      sleep: (ms: number, signal?: AbortSignal) => {
        waits.push(ms);
        return sleep(ms, signal);
      },
    });
    const flag = join(folder, 'go');
    const shell = line.shell(`while [ ! -e ${flag} ]; do sleep 0.02; done`);
    const ending = line.run(...open, '--no-renew', ...shell);
    const finish = () => writeFileSync(flag, '');
    await until(() => beats(line) >= 2);
    finish();
    await ending;
    expect(new Set(waits)).toEqual(new Set([20_000]));
  });

  it('are not sent where none is asked for', async () => {
    const line = setUp();
    await line.run(...open, ...line.shell('sleep 0.1'));
    expect(beats(line)).toBe(0);
  });

  it('go on while the broker is away; it is said once that it is, and once that it is back', async () => {
    let away = true;
    const before = async (verb: string) => {
      if (verb === 'heartbeat' && away) throw new HallpassError('store-unavailable', 'gone');
      return undefined;
    };
    const line = setUp({ border: { heartbeatSeconds: 60, before } });
    const { ending, finish } = waiting(line);
    await until(() => beats(line) >= 4);
    away = false;
    await until(() => line.written.err.includes('answers again'));
    finish();
    expect(await ending).toBe(0);
    expect(line.written.err.match(/misses a heartbeat/g)).toHaveLength(1);
    expect(line.written.err.match(/answers again/g)).toHaveLength(1);
  });

  it('hold nothing up when they are never answered', async () => {
    const before = (verb: string) =>
      verb === 'heartbeat' ? new Promise<undefined>(() => {}) : Promise.resolve(undefined);
    const network = (pass: typeof fetch) => (input: string | URL | Request, init?: RequestInit) =>
      Promise.race([
        pass(input, init),
        new Promise<never>((_, reject) =>
          init?.signal?.addEventListener('abort', () => reject(init.signal?.reason)),
        ),
      ]);
    const line = setUp({ border: { heartbeatSeconds: 60, before }, network });
    const { ending, finish } = waiting(line);
    await until(() => beats(line) >= 1);
    finish();
    expect(await ending).toBe(0);
    expectCleanedUp(line, 0);
    expect(line.written.err).toBe('');
  });

  it('end when the broker has ended the task, and say so', async () => {
    const line = setUp({ border: { heartbeatSeconds: 60 } });
    const { ending, finish } = waiting(line);
    await until(() => beats(line) >= 1);
    line.verbs.end(line.task()!, 'revoked');
    await until(() => line.written.err.includes('has ended the task'));
    const count = beats(line);
    finish();
    await ending;
    expect(beats(line)).toBe(count);
  });
});

describe('exec: templates', () => {
  it('writes a configuration of the command, readable by us alone, and removes it', async () => {
    const line = setUp();
    const [source, target] = [join(folder, 'app.tmpl.yaml'), join(folder, 'app.yaml')];
    writeFileSync(source, 'user: {{ warehouse.username }}\npassword: {{warehouse.password|json}}\n');
    const script = `cat ${target} >&3; stat -c %a ${target} >&3`;
    expect(await line.run(...open, '--template', `${source}:${target}`, ...line.shell(script))).toBe(0);
    expect(line.reported()).toMatch(/^user: "hp_test_\w{26}"\npassword: "[\w-]{24}"\n600\n$/);
    expect(existsSync(target)).toBe(false);
    expectCleanedUp(line, 0);
  });

  it('does not open a task when the result would replace what is not ours, nor follow a link', async () => {
    const source = join(folder, 'app.tmpl.json');
    writeFileSync(source, '{}');
    const [theirs, link] = [join(folder, 'theirs.json'), join(folder, 'link.json')];
    writeFileSync(theirs, 'kept', { mode: 0o644 });
    symlinkSync(theirs, link);
    for (const target of [theirs, link]) {
      const line = setUp();
      expect(await line.run(...open, '--template', `${source}:${target}`, ...line.shell(''))).toBe(125);
      expect(line.written.err).toContain('something else is there');
      expect(line.verbs.tasks.size).toBe(0);
    }
    expect(readFileSync(theirs, 'utf8')).toBe('kept');
  });

  it('does not run the command when a name is unknown, and asks back', async () => {
    const line = setUp();
    const source = join(folder, 'app.tmpl.json');
    writeFileSync(source, '{{ warehouse.pasword }}');
    const template = ['--template', `${source}:${join(folder, 'app.json')}`];
    expect(await line.run(...open, ...template, ...line.shell('echo ran >&3'))).toBe(EXIT.notStarted);
    expect([line.reported(), existsSync(join(folder, 'app.json'))]).toEqual(['', false]);
    expect(line.written.err).toContain('warehouse.password');
    expectCleanedUp(line, null);
  });
});

describe('exec: renewal', () => {
  it('makes the files anew when a target cannot extend, and says what it cannot', async () => {
    let renewals = 0;
    const before = async (verb: string): Promise<Refusal | undefined> =>
      verb === 'renewLease' && ++renewals === 1 ? { reason: 'cannot-renew', detail: 'x' } : undefined;
    const line = setUp({ border: { before } });
    let passedMs = 0;
    Object.assign(line.io.runtime, { now: () => 1_000_000 + passedMs });
    const flag = join(folder, 'go');
    const source = join(folder, 'app.tmpl.json');
    writeFileSync(source, '{{ warehouse.username }}\n');
    const target = join(folder, 'app.json');
    const copy = `cat "$PGPASSFILE" ${target} >&3`;
    const script = `${copy}; echo ready >&3; while [ ! -e ${flag} ]; do sleep 0.02; done; ${copy}`;
    const ending = line.run(...open, '--template', `${source}:${target}`, ...line.shell(script));
    await until(() => line.reported().includes('ready'));
    // Ten minutes pass: the lease lives for fifteen.
    passedMs = 700_000;
    await until(() => line.verbs.leases.size === 2);
    await until(() => line.written.err.includes('PGUSER'));
    writeFileSync(flag, '');
    expect(await ending).toBe(0);
    const [first, second] = [...line.verbs.leases.keys()];
    expect(line.reported().match(/hp_test_\w{26}/g)).toEqual(
      [first, first, second, second].map((id) => `hp_test_${id}`),
    );
    expect(line.written.err).toContain('the running command keeps the first values');
    expectCleanedUp(line, 0);
  });
});

describe('exec: the folder of secrets', () => {
  it('is not made below the folder of the command', async () => {
    const line = setUp({ env: { XDG_RUNTIME_DIR: join(folder, 'inside') } });
    const { mkdirSync } = await import('node:fs');
    mkdirSync(join(folder, 'inside'));
    Object.assign(line.io, { cwd: () => folder });
    await line.run(...open, ...line.shell('echo "$PGPASSFILE" >&3'));
    const file = line.reported().trim();
    expect(file.startsWith(folder)).toBe(false);
    expect(existsSync(file)).toBe(false);
    expect(statSync(folder).isDirectory()).toBe(true);
  });
});
