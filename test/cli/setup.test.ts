import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { runProgram } from '../../src/cli/program.ts';
import { has } from './support/delivery.ts';
import { fakeIo } from './support/io.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'hallpass-setup-'));
});
afterEach(() => rmSync(home, { recursive: true }));

const ask = [
  '--url',
  'https://hallpass.example',
  '--token-file',
  '/run/token',
  '--grant',
  'reports',
  '--task',
  'desk',
];
const at = (path: string) => join(home, path);
const put = (path: string, content: string) => {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), content);
};

/** All that stands in files below a folder, one after the other; not what we note for the undoing. */
function allBelow(folder: string): string {
  return readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => !name.startsWith('setup-'))
    .map((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? allBelow(path) : readFileSync(path, 'utf8');
    })
    .join('');
}

async function setup(...args: string[]) {
  const terminal = fakeIo({ HOME: home });
  const code = await runProgram(['setup', ...args], {
    io: terminal.io,
    version: '1',
    serve: async () => 0,
    check: async () => 0,
  });
  return { code, ...terminal.written };
}

const clients = [
  ['aws', ['--profile', 'job'], '.aws/config', '[default]\nregion = eu-central-1'],
  ['gcp', ['--audience', '//iam.googleapis.com/projects/1/x'], '.config/hallpass/google.json', '{}\n'],
  [
    'kubectl',
    ['--user', 'job'],
    '.kube/config',
    '# mine\napiVersion: v1\nkind: Config\nusers:\n- name: a # kept\n  user: {}\n',
  ],
  ['git', ['--host', 'git.example'], '.gitconfig', '[user]\n\tname = Ada\n'],
  ['docker', ['--registry', 'ghcr.io'], '.docker/config.json', '{\n  "auths": {}\n}'],
] as const;

describe.each(clients)('setup %s', (client, options, path, content) => {
  const run = (...more: string[]) => setup(client, ...ask, ...options, ...more);

  it('shows the change, and makes none without --yes', async () => {
    put(path, content);
    const { code, out, err } = await run();
    expect(code).toBe(0);
    expect(out).toContain(`+++ ${at(path)}`);
    expect(out).toMatch(/^\+.*credential/m);
    expect(err).toContain('add --yes');
    expect(readFileSync(at(path), 'utf8')).toBe(content);
    expect(existsSync(at('.local'))).toBe(false);
  });

  it('changes it, once however often it is run, keeps its mode, and undoes it to the byte', async () => {
    put(path, content);
    execFileSync('chmod', ['640', at(path)]);
    await run('--yes');
    const first = readFileSync(at(path), 'utf8');
    expect(first).not.toBe(content);
    expect(statSync(at(path)).mode & 0o777).toBe(0o640);
    expect((await run('--yes')).err).toContain('Nothing to change');
    await run('--ttl', '5m', '--yes');
    expect(allBelow(home)).toContain('300');
    const shown = await run('--undo');
    expect(shown.out).toContain('--- ');
    expect(allBelow(home)).toContain('300');
    expect((await run('--undo', '--yes')).code).toBe(0);
    expect(allBelow(home)).toBe(content);
    expect(readFileSync(at(path), 'utf8')).toBe(content);
    expect((await run('--undo', '--yes')).err).toContain('Nothing to change');
  });

  it('undoes what was not there to nothing', async () => {
    await run('--yes');
    expect(existsSync(at(path))).toBe(true);
    await run('--undo', '--yes');
    expect(existsSync(at(path))).toBe(false);
  });

  it('writes through no link, and undoes nothing that somebody changed since', async () => {
    put('elsewhere', content);
    mkdirSync(dirname(at(path)), { recursive: true });
    symlinkSync(at('elsewhere'), at(path));
    const linked = await run('--yes');
    expect([linked.code, linked.err]).toEqual([2, expect.stringContaining('link')]);
    expect(readFileSync(at('elsewhere'), 'utf8')).toBe(content);
    expect(lstatSync(at(path)).isSymbolicLink()).toBe(true);
    rmSync(at(path));
    await run('--yes');
    writeFileSync(at(path), 'theirs');
    const undone = await run('--undo', '--yes');
    expect([undone.code, readFileSync(at(path), 'utf8')]).toEqual([2, 'theirs']);
  });
});

describe('setup: clients read it', () => {
  it('aws', async (ctx) => {
    await setup('aws', ...ask, '--profile', 'job', '--command', '/bin/echo', '--yes');
    if (!has('aws')) return ctx.skip('needs the aws CLI (PyPI awscli)');
    const env = { PATH: process.env.PATH, HOME: home, AWS_CONFIG_FILE: at('.aws/config') };
    const line = execFileSync('aws', ['configure', 'get', 'credential_process', '--profile', 'job'], {
      env,
      encoding: 'utf8',
    });
    expect(line.trim()).toBe(`/bin/echo credential aws ${ask.join(' ')}`);
  });

  it('git, whatever the purpose holds', async () => {
    const purpose = `it's "quoted" \\ $(exit 9) ; #x`;
    await setup(
      'git',
      ...ask,
      '--host',
      'git.example',
      '--purpose',
      purpose,
      '--command',
      at('fake'),
      '--yes',
    );
    // What the helper is called with comes back as the password.
    writeFileSync(
      at('fake'),
      `#!/bin/sh\necho username=u\nfor a; do last=$b; b=$a; done\necho "password=$(printf '%s|' "$@" | tr '\\n' ' ')"\n`,
      { mode: 0o755 },
    );
    const env = { PATH: process.env.PATH, HOME: home, GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0' };
    const out = execFileSync('git', ['credential', 'fill'], {
      env,
      input: 'protocol=https\nhost=git.example\n\n',
      encoding: 'utf8',
    });
    expect(out).toContain(`|--purpose|${purpose}|`);
    expect(out).toContain('|get|');
  });

  it('kubectl: comments and other users stay', async () => {
    put('.kube/config', clients[2][3]);
    await setup('kubectl', ...ask, '--yes');
    const text = readFileSync(at('.kube/config'), 'utf8');
    expect(text).toContain('# mine');
    expect(text).toContain('# kept');
    expect(parse(text).users.map(({ name }: { name: string }) => name)).toEqual(['a', 'hallpass']);
  });

  it('docker: the helper is there to be run', async () => {
    await setup('docker', ...ask, '--registry', 'ghcr.io', '--command', '/bin/echo', '--yes');
    expect(readdirSync(at('.local/bin'))).toEqual(['docker-credential-hallpass-ghcr.io']);
    const out = execFileSync(at('.local/bin/docker-credential-hallpass-ghcr.io'), ['get'], {
      encoding: 'utf8',
    });
    expect(out.trim()).toBe(`credential docker --registry ghcr.io ${ask.join(' ')} get`);
  });

  it('refuses what a configuration could not hold, or would read as something else', async () => {
    expect((await setup('aws', ...ask, '--purpose', 'two words', '--yes')).code).toBe(2);
    expect((await setup('aws', ...ask, '--profile', 'a]\n[b', '--yes')).code).toBe(2);
    expect((await setup('git', ...ask, '--yes')).err).toContain('--host');
    put('.aws/config', '[profile job]\nregion = x\n');
    expect((await setup('aws', ...ask, '--profile', 'job', '--yes')).err).toContain('is there already');
    expect(readFileSync(at('.aws/config'), 'utf8')).toBe('[profile job]\nregion = x\n');
  });
});
