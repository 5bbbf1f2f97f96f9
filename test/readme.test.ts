import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from '../src/config/load.ts';
import { attestorKinds, providerKinds } from '../src/kinds.ts';
import { withReference } from './support/reference.ts';

const ROOT = join(import.meta.dirname, '..');
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

test('README: its reference is what the schema says (else run `npm run reference`)', () => {
  expect(withReference(README)).toBe(README);
});

test('README: its sample configuration is sound', async () => {
  const sample = /```yaml\n([\s\S]*?)```/.exec(README)?.[1] ?? '';
  const files: Record<string, string> = {
    'hallpass.yaml': sample,
    '/run/secrets/warehouse': crypto.randomUUID(),
  };
  const config = await loadConfig({
    path: 'hallpass.yaml',
    env: {},
    readFile: async (path) => ({ bytes: new TextEncoder().encode(files[path] ?? ''), mode: 0o600 }),
    attestors: attestorKinds,
    providers: providerKinds,
  });
  expect(config.ok ? [] : config.error).toEqual([]);
});

test('README: its links lead somewhere', () => {
  const links = [...README.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map((match) => match[1] ?? '');
  expect(links.length).toBeGreaterThan(3);
  expect(links.filter((link) => !existsSync(join(ROOT, link)))).toEqual([]);
});
