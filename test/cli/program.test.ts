import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Refusal } from '../../src/broker/refusal.ts';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { commandLine } from './support/run.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hallpass-test-'));
});
afterAll(() => rm(folder, { recursive: true }));

const open = ['--grant', 'reports', '--task', 'nightly-1'];

describe('runProgram: the line', () => {
  it('prints the version, and help with the exit codes', async () => {
    const { run, written } = commandLine();
    expect(await run('--version')).toBe(EXIT.done);
    expect(written.out).toBe('1.2.3\n');
    expect(await run('--help')).toBe(EXIT.done);
    for (const code of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
      expect(written.out).toMatch(new RegExp(`^ {2}${code}  `, 'm'));
    expect(await run('exec', '--help')).toBe(EXIT.done);
    expect(written.out).toContain('128+n');
  });

  it('hands serve and check to the composition root', async () => {
    const { run, written } = commandLine();
    expect(await run('serve')).toBe(0);
    expect(await run('check', '--config', 'x.yaml', '--json')).toBe(9);
    expect(await run('check', '--live')).toBe(9);
    expect(written.out).toBe(
      'serve hallpass.yaml\ncheck x.yaml true false\ncheck hallpass.yaml false true\n',
    );
  });

  it.each([
    [['nonsense']],
    [['tasks', '--nonsense']],
    [['leases', '--state', 'gone']],
    [['get', '--task', 'x']],
    [['get', ...open, '--ttl', '5 parsecs']],
    [['get', ...open, '--param', 'region']],
    [['get', ...open, '--param', 'rows:=ten']],
    [['revoke', 'x']],
    [['explain', '--issuer', 'x']],
    [['explain', '--task', 'x']],
    [['explain', '--claim', 'repo_id:=7', '--task', 'x']],
    [['explain', '--explain-token', '/dev/null', '--claim', 'repo_id:=7']],
    [['explain', '--explain-token', '/dev/null', '--issuer', 'ci', '--subject', 'job']],
    [['audit', '--since', 'yesterday']],
    [['audit', '--until', '2030-01-31']],
  ])('refuses %j as usage', async (args) => {
    const { run, written, verbs } = commandLine();
    expect(await run(...args)).toBe(EXIT.usage);
    expect(written.err).not.toBe('');
    expect(verbs.calls).toEqual([]);
  });
});

describe('runProgram: a line of exec that cannot be read', () => {
  it.each([
    [['exec', '--grant', 'reports', '--', 'true']],
    [['exec', ...open, '--ttl', '5 parsecs', '--', 'true']],
    [['exec', ...open, '--nonsense', '--', 'true']],
    [['exec', ...open]],
  ])("%j: ends as what never ran, not with a code that could be the command's", async (args) => {
    const { run, written, verbs } = commandLine();
    expect(await run(...args)).toBe(EXIT.notStarted);
    expect(written.err).not.toBe('');
    expect(verbs.calls).toEqual([]);
  });
});

describe('runProgram: the connection', () => {
  it('says what is missing', async () => {
    const nowhere = commandLine({ env: { HALLPASS_URL: '' } });
    expect(await nowhere.run('grants')).toBe(EXIT.usage);
    expect(nowhere.written.err).toContain('HALLPASS_URL');
    const nobody = commandLine({ env: { HALLPASS_TOKEN: '' } });
    expect(await nobody.run('grants')).toBe(EXIT.usage);
    expect(nobody.written.err).toContain('HALLPASS_TOKEN_FILE');
  });

  it('reads the token from a file or a command', async () => {
    const { run, token } = commandLine({ env: { HALLPASS_TOKEN: '' } });
    const file = join(folder, 'token');
    writeFileSync(file, `${token}\n`);
    expect(await run('grants', '--token-file', file)).toBe(EXIT.done);
    expect(await run('grants', '--token-command', `cat ${file}`)).toBe(EXIT.done);
    expect(await run('grants', '--token-file', join(folder, 'absent'))).toBe(EXIT.usage);
    writeFileSync(file, 'two words');
    expect(await run('grants', '--token-file', file)).toBe(EXIT.usage);
  });

  it('never repeats what a token command printed', async () => {
    const { run, written } = commandLine();
    expect(await run('grants', '--token-command', 'echo canary; exit 3')).toBe(EXIT.usage);
    expect(written.err).toContain('it ended with 3');
    expect(written.out + written.err).not.toMatch(/canary(?!;)/);
  });

  it('refuses to send a token in clear to another machine', async () => {
    const { run, verbs } = commandLine({ env: { HALLPASS_URL: 'http://broker.example' } });
    expect(await run('grants')).toBe(EXIT.usage);
    expect(verbs.calls).toEqual([]);
    expect(await run('grants', '--insecure-http')).toBe(EXIT.done);
  });
});

describe('runProgram: exit codes', () => {
  it.each([
    ['unauthenticated', EXIT.unauthenticated],
    ['not-allowed', EXIT.notAllowed],
    ['not-found', EXIT.notFound],
    ['lease-ended', EXIT.conflict],
    ['invalid-request', EXIT.usage],
  ] as const)('%s', async (reason, code) => {
    const before = async (verb: string): Promise<Refusal | undefined> =>
      verb === 'availableGrants' ? { reason, detail: 'x' } : undefined;
    const { run, written } = commandLine({ border: { before } });
    expect(await run('grants')).toBe(code);
    expect(written.err).toContain(`(${reason}, request `);
  });

  it('says that the broker cannot be reached', async () => {
    const { run, written } = commandLine({
      network: () => async () => {
        throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
      },
    });
    expect(await run('grants')).toBe(EXIT.unreachable);
    expect(written.err).toContain('Cannot reach the broker at http://127.0.0.1:1: connect ECONNREFUSED');
  });

  it('says of each longer wait what it is for, and how long it is', async () => {
    const refusals: Refusal[] = [
      { reason: 'overloaded', detail: '', retryAfterMs: 1 },
      { reason: 'overloaded', detail: '', retryAfterMs: 7_000 },
    ];
    const before = async (verb: string) => (verb === 'availableGrants' ? refusals.shift() : undefined);
    const { run, written } = commandLine({ border: { before } });
    expect(await run('grants', '--json')).toBe(EXIT.done);
    expect(
      written.err.match(/^hallpass: .*; trying again in \d+ s$/gm)?.map((line) => line.slice(-3)),
    ).toEqual(['1 s', '7 s']);
    expect(JSON.parse(written.out)).toMatchObject({ grants: expect.any(Array) });
  });

  it('tells a request that was shed from one that failed', async () => {
    const before = async (verb: string): Promise<Refusal | undefined> =>
      verb === 'availableGrants' ? { reason: 'overloaded', detail: '', retryAfterMs: 90_000 } : undefined;
    expect(await commandLine({ border: { before } }).run('grants')).toBe(EXIT.tryLater);
  });
});

describe('runProgram: get and complete', () => {
  it('prints lines that a shell takes, and ends the task with what they set', async () => {
    const password = `a'b"c $HOME \\ ${'`'}x${'`'}`;
    const secretOf = () => ({
      type: 'postgres',
      values: { host: 'db', port: '5432', database: 'd', username: 'u', password },
    });
    const line = commandLine({ border: { secretOf, heartbeatSeconds: 30 } });
    expect(await line.run('get', ...open, '--param', 'region=eu', '--param', 'rows:=10')).toBe(EXIT.done);
    expect([...line.verbs.tasks.values()][0]?.parameters).toEqual({ region: 'eu', rows: 10 });
    expect(line.written.err).toContain('30 s without a heartbeat');
    const { execFileSync } = await import('node:child_process');
    const script = `${line.written.out}printf %s "$PGPASSWORD|$PGUSER|$HALLPASS_TASK|$HALLPASS_TASK_TOKEN"`;
    const shell = execFileSync('/bin/sh', ['-c', script], { encoding: 'utf8' });
    const [seen, user, task = '', key = ''] = shell.split('|');
    expect([seen, user]).toEqual([password, 'u']);

    Object.assign(line.io.env, { HALLPASS_TASK: task, HALLPASS_TASK_TOKEN: key, HALLPASS_TOKEN: '' });
    expect(await line.run('complete', '--exit-status', '0')).toBe(EXIT.done);
    expect(line.verbs.tasks.get(task)).toMatchObject({ state: 'ended', exitStatus: 0 });
    expect(line.verbs.calls.at(-1)?.args[0]).toMatchObject({ kind: 'task' });
  });

  it('prints JSON', async () => {
    const { run, written } = commandLine();
    expect(await run('get', ...open, '--json')).toBe(EXIT.done);
    expect(JSON.parse(written.out)).toMatchObject({
      task: { name: 'nightly-1' },
      token: expect.any(String),
      credentials: [{ name: 'warehouse', secret: { type: 'postgres' } }],
    });
  });

  it('tells several credentials apart by their names', async () => {
    const { run, written } = commandLine();
    await run('get', ...open, '--credential', 'source', '--credential', 'sink-2');
    expect(written.out).toMatch(/^export SOURCE_PGHOST=/m);
    expect(written.out).toMatch(/^export SINK_2_PGPASSWORD=/m);
  });
});

describe('runProgram: an output that cannot be written', () => {
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });

  it('is a failure, and a reader that has seen enough is none', async () => {
    const line = commandLine();
    line.faults.output = full;
    expect(await line.run('grants', '--json')).toBe(EXIT.failed);
    expect(line.written.err).toBe('hallpass: Cannot write the output: ENOSPC\n');
    line.faults.output = Object.assign(new Error('broken pipe'), { code: 'EPIPE' });
    expect(await line.run('grants', '--json')).toBe(EXIT.done);
  });

  it.each(['ENOSPC', 'EPIPE'])('get: asks back what nobody has read (%s)', async (code) => {
    const line = commandLine();
    line.faults.output = Object.assign(new Error('x'), { code });
    expect(await line.run('get', ...open)).toBe(EXIT.failed);
    expect(line.written.err).toBe(`hallpass: Cannot print the credentials: ${code}. The task was ended\n`);
    expect([...line.verbs.tasks.values()]).toMatchObject([{ state: 'ended' }]);
  });
});

describe('runProgram: reading and ruling', () => {
  it('prints tables for people', async () => {
    const { run, written, verbs } = commandLine();
    await run('get', ...open);
    const lease = [...verbs.leases.values()][0]!;
    written.out = '';
    for (const args of [
      ['tasks'],
      ['tasks', lease.taskId],
      ['leases', '--live'],
      ['leases', lease.id],
      ['grants'],
      ['audit', '--order', 'oldest'],
    ])
      expect(await run(...args), args.join(' ')).toBe(EXIT.done);
    expect(written.out).toMatch(/LEASE +CREDENTIAL +TARGET/);
    expect(written.out).toContain('nightly-1');
    expect(written.out).toContain('lease.ending');
    expect(written.out).not.toMatch(/[│┌]/);
  });

  it('prints JSON for programs', async () => {
    for (const [command, member] of [
      ['tasks', 'tasks'],
      ['leases', 'leases'],
      ['grants', 'grants'],
      ['audit', 'events'],
    ] as const) {
      const { run, written } = commandLine();
      expect(await run(command, '--json')).toBe(EXIT.done);
      expect(JSON.parse(written.out)).toHaveProperty(member);
    }
  });

  it('passes the filters on', async () => {
    const { run, verbs } = commandLine();
    await run('leases', '--live', '--grant', 'reports', '--subject', 'job', '--limit', '3', '--cursor', 'c');
    expect(verbs.calls.at(-1)?.args.slice(1)).toEqual([
      { live: true, grant: 'reports', subject: 'job' },
      { cursor: 'c', limit: 3 },
    ]);
    await run('audit', '--since', '2030-01-01T00:00:00.000Z', '--kind', 'lease.ended');
    expect(verbs.calls.at(-1)?.args[1]).toEqual({ since: Date.UTC(2030, 0, 1), kind: 'lease.ended' });
  });

  it('revokes what it can, and says what it cannot', async () => {
    const { run, verbs, written } = commandLine();
    await run('get', ...open);
    const [lease] = [...verbs.leases.values()];
    const absent = '01hzzzzzzzzzzzzzzzzzzzzzzz';
    expect(await run('revoke', absent, lease!.id, '--reason', 'incident 7')).toBe(EXIT.notFound);
    expect(verbs.leases.get(lease!.id)?.outcome).toBe('revoked');
    expect(written.err).toContain(`Cannot revoke ${absent}`);
  });

  it('explains, and says by its exit code whether it would be allowed', async () => {
    const { run, written, verbs } = commandLine();
    const args = [
      '--issuer',
      'ci',
      '--subject',
      'job',
      '--claim',
      'repo_id:=7',
      '--claim',
      'ref=main',
      '--task',
      'x',
    ];
    expect(await run('explain', ...args)).toBe(EXIT.notAllowed);
    expect(verbs.calls.at(-1)?.args[1]).toMatchObject({
      identity: { claims: { sub: 'job', repo_id: 7, ref: 'main' } },
    });
    expect(written.out).toMatch(/NO +task +"nightly-\*" +"x"/);
  });

  it('cuts and shows task grants', async () => {
    const { run, written, verbs } = commandLine();
    const args = [
      '--grant',
      'reports',
      '--task',
      'a',
      '--expires-in',
      '2h',
      '--uses',
      '3',
      '--max-ttl',
      '15m',
    ];
    expect(await run('task-grant', 'create', ...args, '--json')).toBe(EXIT.done);
    const made = JSON.parse(written.out) as { id: string };
    expect(verbs.calls.at(-1)?.args[1]).toMatchObject({
      expiresInSeconds: 7200,
      uses: 3,
      maxTtlSeconds: 900,
    });
    expect(await run('task-grant', 'show', made.id)).toBe(EXIT.done);
  });

  it('lets nothing from outside reach the terminal as it is', async () => {
    const hostile = 'nightly\u001b[2J\u202e\r\nfake line\u009b31m\u2028x';
    const { run, written, verbs } = commandLine();
    await run('get', '--grant', 'reports', '--task', hostile, '--json');
    await run('tasks');
    await run('tasks', '--json');
    await run('revoke', `x${hostile}`, '--reason', 'y');
    expect(verbs.tasks.size).toBe(1);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(written.out + written.err).not.toMatch(/[\u001b\u202e\r\u009b\u2028]/);
    expect(written.out).toContain('nightly\\u{1b}[2J\\u{202e}');
  });
});
