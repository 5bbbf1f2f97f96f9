import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from '../../src/config/environment.ts';
import type { ReadFile } from '../../src/config/files.ts';
import { type LoadOptions, loadConfig } from '../../src/config/load.ts';
import type { ConfigFault } from '../../src/config/report.ts';
import type { AttestorKind } from '../../src/identity/attestor.ts';
import type { ProviderKind } from '../../src/providers/provider.ts';
import { fakeAttestorKind } from '../fakes/attestor.ts';
import { fakeProvider } from '../fakes/provider.ts';

export const EXAMPLE = readFileSync(join(import.meta.dirname, '../fixtures/hallpass.yaml'), 'utf8');

/** Files by absolute path: text, bytes, or text with a mode. */
export type Files = Record<string, string | Uint8Array | { text: string; mode: number }>;

export const readFrom =
  (files: Files): ReadFile =>
  async (path, maxBytes) => {
    const file = files[path];
    if (file === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    const { text, mode } =
      typeof file === 'string' || file instanceof Uint8Array ? { text: file, mode: 0o600 } : file;
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    return { bytes: bytes.slice(0, maxBytes + 1), mode };
  };

export const kinds: Pick<LoadOptions, 'attestors' | 'providers'> = {
  attestors: { token: async () => fakeAttestorKind as unknown as AttestorKind },
  providers: { memory: async () => fakeProvider({ now: () => 0 }).provider as unknown as ProviderKind },
};

export const SECRET = Buffer.from(crypto.getRandomValues(new Uint8Array(18))).toString('base64url');

/** Loads a text as `/etc/hallpass/hallpass.yaml`. */
export function load(text: string | Uint8Array, env: Environment = {}, files: Files = {}) {
  return loadConfig({
    path: '/etc/hallpass/hallpass.yaml',
    env: { WAREHOUSE_PASSWORD: SECRET, ...env },
    readFile: readFrom({
      '/etc/hallpass/hallpass.yaml': text,
      '/etc/hallpass/staff.jwks': '{"keys":[]}',
      ...files,
    }),
    ...kinds,
  });
}

/** The faults, as `line path: message`. */
export async function faultsIn(
  text: string | Uint8Array,
  env: Environment = {},
  files: Files = {},
): Promise<string[]> {
  const config = await load(text, env, files);
  return config.ok ? [] : config.error.map(print);
}

export function print({ file, line, path, message }: ConfigFault): string {
  return `${line ?? file} ${path}: ${message}`;
}

/** The example with some text in it replaced; what is not there is a mistake of the test. */
export function example(...changes: [string, string][]): string {
  return changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`The example has no ${from}`);
    return text.replace(from, () => to);
  }, EXAMPLE);
}
