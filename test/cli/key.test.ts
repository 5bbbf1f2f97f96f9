import { chmodSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parse } from 'yaml';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { attestorKind } from '../../src/identity/keys/kind.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { accepted } from '../conformance/attestor.ts';
import { commandLine } from './support/run.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hallpass-test-'));
});
afterAll(() => rm(folder, { recursive: true }));

const URL = 'https://hallpass.acme.example';
const fresh = ['--subject', 'Nightly Batch', '--owner', 'data platform', '--expires', '2999-01-31'];

/** Makes a key; answers its file and the entry that was printed. */
async function newKey(name: string) {
  const key = join(folder, name);
  const { run, written } = commandLine();
  expect(await run('key', 'new', '--out', key, '--audience', URL, ...fresh), written.err).toBe(EXIT.done);
  return { key, written };
}

it('key: what `new` prints is an issuer that accepts what `sign` prints, once each', async () => {
  const { key, written } = await newKey('a.json');
  const [[name, entry]] = Object.entries(parse(written.out).issuers) as [[string, unknown]];
  expect(name).toBe('nightly-batch');
  const resolved = attestorKind.resolve(attestorKind.settings.parse(entry), {});
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.error));
  const attestor = attestorKind.create(name, resolved.value, systemRuntime);
  const ids = new Set<string | undefined>();
  for (let i = 0; i < 2; i++) {
    const signing = commandLine();
    expect(await signing.run('key', 'sign', '--key', key, '--audience', URL)).toBe(EXIT.done);
    const token = signing.written.out.trim();
    const verdict = await attestor.attest(
      { kind: 'bearer', token },
      Date.now(),
      new AbortController().signal,
    );
    const principal = accepted(verdict);
    expect(principal.subject).toBe('Nightly Batch');
    ids.add(principal.proof.singleUse?.id);
  }
  expect(ids.size).toBe(2);
});

it('key new: the private key is in its file alone, readable by its owner alone, and never overwritten', async () => {
  const { key, written } = await newKey('b.json');
  const { d } = JSON.parse(readFileSync(key, 'utf8')).key;
  expect(statSync(key).mode & 0o777).toBe(0o600);
  expect(written.out + written.err).not.toContain(d);
  const before = readFileSync(key, 'utf8');
  const again = commandLine();
  expect(await again.run('key', 'new', '--out', key, '--audience', URL, ...fresh)).toBe(EXIT.usage);
  expect(readFileSync(key, 'utf8')).toBe(before);
});

it('key new: refuses an expiry that is past or no day', async () => {
  for (const day of ['2001-01-01', 'tomorrow', '2999-13-01']) {
    const { run } = commandLine();
    const options = ['--out', join(folder, 'c.json'), '--audience', URL, ...fresh, '--expires', day];
    expect(await run('key', 'new', ...options), day).toBe(EXIT.usage);
  }
});

it('key sign: refuses a key that others may read, a long life, and a file that is no key', async () => {
  const { key } = await newKey('d.json');
  const sign = async (...args: string[]) => {
    const { run, written } = commandLine();
    const code = await run('key', 'sign', '--audience', URL, ...args);
    expect(written.out).toBe('');
    return code;
  };
  expect(await sign('--key', key, '--lifetime', '6m')).toBe(EXIT.usage);
  expect(await sign('--key', join(folder, 'none.json'))).toBe(EXIT.usage);
  chmodSync(key, 0o644);
  expect(await sign('--key', key)).toBe(EXIT.usage);
});
