import { chmodSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromProcess } from '@aws-sdk/credential-providers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createCertificate } from '../support/certificates.ts';
import { deliveryWorld, has } from './support/delivery.ts';

let world: Awaited<ReturnType<typeof deliveryWorld>>;
let saved: NodeJS.ProcessEnv;
beforeAll(async () => {
  world = await deliveryWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  saved = { ...process.env };
});
afterEach(() => {
  process.env = saved;
});

/** Each test opens tasks of its own. */
let run = 0;
const fresh = () => ['--grant', 'reports', '--task', `run-${++run}`];
const helper = (...args: string[]) => world.hallpass(['credential', ...args]).ended;
const tasksNamed = (name: string) => [...world.verbs.tasks.values()].filter((task) => task.name === name);

describe('credential aws', () => {
  it('opens one task for twenty calls at once, and none for the next', async () => {
    const ask = ['aws', ...fresh(), '--credential', 'aws'];
    const answers = await Promise.all(Array.from({ length: 20 }, () => helper(...ask)));
    expect(new Set(answers.map(({ code, err }) => `${code} ${err}`))).toEqual(new Set(['0 ']));
    expect(new Set(answers.map(({ out }) => out)).size).toBe(1);
    expect((await helper(...ask)).out).toBe(answers[0]?.out);
    expect(tasksNamed(ask[4]!)).toHaveLength(1);
  });

  it('keeps what it was given where only we can read it', async () => {
    await helper('aws', ...fresh(), '--credential', 'aws');
    const folder = join(world.runtimeDir, 'hallpass', 'cache');
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    const files = readdirSync(folder);
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
  });

  it('reads no cache that others could have written, and writes through no link', async () => {
    const ask = ['aws', ...fresh(), '--credential', 'aws'];
    const first = await helper(...ask);
    const folder = join(world.runtimeDir, 'hallpass', 'cache');
    const file = readdirSync(folder)
      .map((name) => join(folder, name))
      .find((path) => readFileSync(path, 'utf8').includes(JSON.parse(first.out).AccessKeyId))!;
    chmodSync(file, 0o644);
    const second = await helper(...ask);
    expect(second.out).not.toBe(first.out);
    const elsewhere = join(world.home, 'elsewhere');
    writeFileSync(elsewhere, 'kept');
    chmodSync(file, 0o600);
    rmSync(file);
    symlinkSync(elsewhere, file);
    expect((await helper(...ask)).code).toBe(0);
    expect(readFileSync(elsewhere, 'utf8')).toBe('kept');
  });

  it('waits for no process that has died with the lock', async () => {
    const ask = ['aws', ...fresh(), '--credential', 'aws'];
    await helper(...ask);
    const folder = join(world.runtimeDir, 'hallpass', 'cache');
    const gone = world.start('/bin/true', []);
    await gone.ended;
    for (const name of readdirSync(folder)) {
      rmSync(join(folder, name));
      writeFileSync(join(folder, `${name}.lock`), String(gone.child.pid), { mode: 0o600 });
    }
    expect((await helper(...ask)).code).toBe(0);
    expect(readdirSync(folder).filter((name) => name.endsWith('.lock')).length).toBeLessThan(
      readdirSync(folder).length,
    );
  });

  it('is read by the AWS SDK for JavaScript, the aws CLI and boto3 as a credential_process', async (ctx) => {
    const ask = ['aws', ...fresh(), '--credential', 'aws'];
    const file = join(world.home, 'aws-config');
    writeFileSync(
      file,
      `[profile job]\nregion = eu-central-1\ncredential_process = ${world.command} credential ${ask.join(' ')}\n`,
    );
    const { AccessKeyId } = JSON.parse((await helper(...ask)).out);
    const env = { AWS_CONFIG_FILE: file, AWS_SHARED_CREDENTIALS_FILE: '/dev/null', AWS_PROFILE: 'job' };
    Object.assign(process.env, world.env, env);
    expect(await fromProcess()()).toMatchObject({ accessKeyId: AccessKeyId, expiration: expect.any(Date) });
    if (!has('aws')) return ctx.skip('needs the aws CLI and boto3 (PyPI awscli, boto3)');
    const cli = await world.start('aws', ['configure', 'list'], env).ended;
    expect(cli.out).toMatch(new RegExp(`access_key.*${AccessKeyId.slice(-4)}.*custom-process`));
    const script =
      'import boto3; print(boto3.Session().get_credentials().get_frozen_credentials().access_key)';
    expect((await world.start('python3', ['-c', script], env).ended).out.trim()).toBe(AccessKeyId);
    expect(tasksNamed(ask[4]!)).toHaveLength(1);
  });

  it('asks the agent where one runs', async () => {
    const agent = await world.agent('--credential', 'aws');
    const tasks = world.verbs.tasks.size;
    const { out, code } = await world.hallpass(['credential', 'aws'], agent.variables).ended;
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ Version: 1, AccessKeyId: expect.stringMatching(/^ASIA/) });
    expect(world.verbs.tasks.size).toBe(tasks);
    agent.child.kill('SIGTERM');
    await agent.ended;
    const alone = await world.hallpass(['credential', 'aws'], agent.variables).ended;
    expect([alone.code, alone.out]).toEqual([2, '']);
    expect(alone.err).toContain('no agent runs');
  });

  it('says what the task has when that is something else', async () => {
    const { code, err, out } = await helper('aws', ...fresh(), '--credential', 'db');
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('the task has "db"');
  });
});

describe('credential google', () => {
  it('gives an identity token as an executable source', async () => {
    const { out } = await helper('google', ...fresh(), '--credential', 'identity');
    expect(JSON.parse(out)).toMatchObject({
      version: 1,
      success: true,
      token_type: 'urn:ietf:params:oauth:token-type:id_token',
      expiration_time: expect.any(Number),
    });
  });

  it('tells the library why there is none', async () => {
    const { out, code } = await helper('google', ...fresh(), '--credential', 'db');
    expect(code).toBe(2);
    expect(JSON.parse(out)).toMatchObject({
      version: 1,
      success: false,
      message: expect.stringContaining('db'),
    });
  });
});

describe('credential kubectl', () => {
  it('is read by kubectl', async (ctx) => {
    if (!has('kubectl')) return ctx.skip('needs kubectl');
    const ask = ['credential', 'kubectl', ...fresh(), '--credential', 'cluster'];
    const seen: (string | undefined)[] = [];
    const { createServer } = await import('node:https');
    const { cert, key } = await createCertificate({ name: 'api', address: '127.0.0.1' });
    const api = createServer({ cert, key }, (request, response) => {
      seen.push(request.headers.authorization);
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end('{"major":"1","minor":"32","gitVersion":"v1.32.0"}');
    });
    await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
    const { port } = api.address() as { port: number };
    const [command, script] = world.command.split(' ');
    const kubeconfig = join(world.home, 'kubeconfig');
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'c',
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
        clusters: [
          { name: 'c', cluster: { server: `https://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } },
        ],
        users: [
          {
            name: 'u',
            user: {
              exec: {
                apiVersion: 'client.authentication.k8s.io/v1',
                command,
                args: [script, ...ask],
                interactiveMode: 'Never',
              },
            },
          },
        ],
      }),
    );
    const { out } = await world.start('kubectl', ['--kubeconfig', kubeconfig, 'get', '--raw', '/version'])
      .ended;
    api.close();
    expect(out).toContain('1.32');
    const answer = JSON.parse((await world.hallpass(ask).ended).out);
    expect(seen[0]).toBe(`Bearer ${answer.status.token}`);
  });
});

describe('credential git', () => {
  const configure = (ask: readonly string[]) => [
    '-c',
    'credential.helper=',
    '-c',
    `credential.https://git.example.helper=!${world.command} credential git --host git.example ${ask.join(' ')}`,
  ];
  const env = { GIT_TERMINAL_PROMPT: '0', GIT_CONFIG_NOSYSTEM: '1' };

  it('answers git for its host', async () => {
    const ask = [...fresh(), '--credential', 'forge'];
    const fill = 'protocol=https\nhost=git.example\n\n';
    const { out } = await world.start('git', [...configure(ask), 'credential', 'fill'], env, fill).ended;
    expect(out).toMatch(/username=x-access-token\npassword=ghs_[\w-]+\n/);
  });

  it.each(['protocol=http\nhost=git.example\n\n', 'protocol=https\nhost=evil.example\n\n'])(
    'gives nothing for %j',
    async (input) => {
      const ask = [...fresh(), '--credential', 'forge'];
      const { out, code } = await world.hallpass(
        ['credential', 'git', '--host', 'git.example', ...ask, 'get'],
        {},
        input,
      ).ended;
      expect([code, out]).toEqual([0, '']);
      expect(tasksNamed(ask[3]!)).toHaveLength(0);
    },
  );
});

describe('credential docker', () => {
  it('answers for its registry, and for no other', async () => {
    const ask = ['credential', 'docker', '--registry', 'ghcr.io', ...fresh(), '--credential', 'forge', 'get'];
    const { out } = await world.hallpass(ask, {}, 'https://ghcr.io\n').ended;
    expect(JSON.parse(out)).toEqual({
      ServerURL: 'https://ghcr.io',
      Username: 'x-access-token',
      Secret: expect.stringMatching(/^ghs_/),
    });
    const other = await world.hallpass(ask, {}, 'evil.example').ended;
    expect([other.code, other.out]).toEqual([1, 'credentials not found in native keychain\n']);
  });
});

describe('credential pg', () => {
  it('writes a service and a password file that psql reads', async (ctx) => {
    const { out } = await helper('pg', '--service', 'warehouse', ...fresh(), '--credential', 'db');
    const [, serviceFile = ''] = /PGSERVICEFILE='(.*)'/.exec(out) ?? [];
    expect(statSync(serviceFile).mode & 0o777).toBe(0o600);
    expect(readFileSync(serviceFile, 'utf8')).toMatch(
      /^\[warehouse\]\nhost=127\.0\.0\.1\nport=5432\ndbname=warehouse\nuser=hp_test_/,
    );
    if (!has('psql')) return ctx.skip('needs psql (Debian postgresql-client)');
    // Nobody listens there: what psql says shows that it read the service.
    const env = { PGSERVICEFILE: serviceFile, PGSERVICE: 'warehouse', PGPORT: '1' };
    const { err } = await world.start('psql', ['-c', 'select 1'], env).ended;
    expect(err).toContain('127.0.0.1');
  });
});

describe('setup pg', () => {
  it('writes the section of a login, renews it in place, and undoes it to the byte', async (ctx) => {
    const file = join(world.home, 'services.conf');
    writeFileSync(file, '[mine]\nhost=localhost\n');
    const run = (...args: string[]) =>
      world.hallpass(['setup', 'pg', '--service', 'warehouse', '--file', file, '--credential', 'db', ...args])
        .ended;
    const first = await run(...fresh(), '--yes');
    expect(first).toMatchObject({ code: 0, out: expect.stringContaining('+[warehouse]') });
    const text = readFileSync(file, 'utf8');
    expect(text).toMatch(/\[mine\][\s\S]*\[warehouse\]\nhost=127\.0\.0\.1\n[\s\S]*passfile=/);
    await run(...fresh(), '--yes');
    expect(readFileSync(file, 'utf8').match(/\[warehouse\]/g)).toHaveLength(1);
    expect(readFileSync(file, 'utf8')).not.toBe(text);
    if (has('psql')) {
      const env = { PGSERVICEFILE: file, PGPORT: '1' };
      const { err } = await world.start('psql', ['service=warehouse', '-c', 'select 1'], env).ended;
      expect(err).toContain('127.0.0.1');
    }
    expect((await run('--undo', '--yes')).code).toBe(0);
    expect(readFileSync(file, 'utf8')).toBe('[mine]\nhost=localhost\n');
    if (!has('psql')) ctx.skip('needs psql (Debian postgresql-client)');
  });
});
