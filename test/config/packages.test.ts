import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { packagedProviders } from '../../src/config/packages.ts';
import type { Loading } from '../../src/config/secrets.ts';
import { printPath } from '../../src/grants/fault.ts';

const folder = mkdtempSync(join(tmpdir(), 'hallpass-packages-'));
afterAll(() => rmSync(folder, { recursive: true }));

function install(name: string, source: string, manifest: object = {}): void {
  const home = join(folder, 'node_modules', name);
  mkdirSync(home, { recursive: true });
  const all = { name, version: '1.0.0', type: 'module', exports: './provider.js', ...manifest };
  writeFileSync(join(home, 'package.json'), JSON.stringify(all));
  writeFileSync(join(home, 'provider.js'), source);
}

const zod = pathToFileURL(join(import.meta.dirname, '../../node_modules/zod/index.js')).href;
const GOOD = `
  import { z } from ${JSON.stringify(zod)};
  export const interfaceVersion = 1;
  export const provider = {
    kind: 'vending', settings: z.strictObject({ url: z.string() }), scope: z.strictObject({}),
    ttl: { shortestSeconds: 1, longestSeconds: 60 }, targetExpires: false, settles: 'from-lease-id',
    templating: { filters: {}, defaultFilter: () => null }, open() { throw new Error('not here'); },
  };`;

async function load(packages: Record<string, string>) {
  const loading = { path: join(folder, 'hallpass.yaml'), faults: [] } as unknown as Loading;
  const kinds = await packagedProviders(packages, { postgres: async () => null as never }, loading);
  return { kinds, faults: loading.faults.map(({ path, message }) => `${printPath(path)}: ${message}`) };
}

test('packagedProviders: loads what the configuration names, from its folder', async () => {
  install('@acme/hallpass-vending', GOOD);
  const { kinds, faults } = await load({ vending: '@acme/hallpass-vending' });
  expect(faults).toEqual([]);
  expect(await kinds.vending!()).toMatchObject({ kind: 'vending' });
});

test('packagedProviders: what cannot be used is a fault that says why', async () => {
  install('throws', 'throw new Error("no network here")');
  install('old', GOOD.replace('interfaceVersion = 1', 'interfaceVersion = 0'));
  install('unversioned', GOOD.replace('export const interfaceVersion = 1;', ''));
  install('half', GOOD.replace("settles: 'from-lease-id',", '').replace('targetExpires: false,', ''));
  install('empty', 'export const interfaceVersion = 1;');
  const names = ['missing', 'throws', 'old', 'unversioned', 'half', 'empty'];
  const { kinds, faults } = await load(Object.fromEntries(names.map((name) => [name, name])));
  expect(kinds).toEqual({});
  const words = [
    'Cannot find',
    'no network here',
    'interfaceVersion 0',
    'nowhere',
    'targetExpires, settles',
    'no "provider"',
  ];
  for (const [i, word] of words.entries()) expect(faults[i]).toContain(word);
  expect(faults).toHaveLength(names.length);
});

test('packagedProviders: a package cannot stand in for a built-in provider', async () => {
  const { kinds, faults } = await load({ postgres: '@acme/hallpass-vending' });
  expect(kinds).toEqual({});
  expect(faults[0]).toContain('built-in');
});
