import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { archiveCommand } from '../src/archive.ts';
import { checkCommand } from '../src/check.ts';
import { EXIT } from '../src/cli/exit-codes.ts';
import { rewrapCommand } from '../src/rewrap.ts';
import { serveCommand } from '../src/serve.ts';

let folder: string;
let out: string;
let err: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hallpass-check-'));
});
afterAll(() => rm(folder, { recursive: true }));

beforeEach(() => {
  out = '';
  err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text;
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

async function written(text: string): Promise<string> {
  const config = join(folder, 'hallpass.yaml');
  await writeFile(config, text);
  return config;
}

describe('a configuration with faults', () => {
  it.each([
    ['check', (config: string) => checkCommand({ config, json: false, live: false })],
    ['check --json', (config: string) => checkCommand({ config, json: true, live: false })],
    ['check --live', (config: string) => checkCommand({ config, json: false, live: true })],
    ['serve', (config: string) => serveCommand(config, '1.2.3')],
    ['rewrap', (config: string) => rewrapCommand({ config })],
    ['archive', (config: string) => archiveCommand({ config, before: 0, folder })],
  ])('%s: ends with the exit code that the help has for it', async (_name, run) => {
    expect(await run(await written('broker: {}\n'))).toBe(EXIT.badConfiguration);
    expect(out + err).toContain('broker.url');
  });
});

describe('a sound configuration with something to consider', () => {
  const trial = `broker: { url: 'http://127.0.0.1:7420' }
targets:
  db: { provider: postgres, host: db.example.com, database: d, username: u, password: { insecure_inline: x } }
`;

  it('check: tells it, and calls it no fault', async () => {
    expect(await checkCommand({ config: await written(trial), json: false, live: false })).toBe(EXIT.done);
    expect(err).toMatch(/^.*targets\.db\.password: A secret stands in clear.*\n1 to consider\n$/);
    expect(out).toContain('is sound');
  });

  it('check --json: tells it in the document', async () => {
    expect(await checkCommand({ config: await written(trial), json: true, live: false })).toBe(EXIT.done);
    expect(JSON.parse(out)).toMatchObject({
      ok: true,
      faults: [],
      warnings: [{ line: 3, path: 'targets.db.password' }],
    });
    expect(err).toBe('');
  });
});
