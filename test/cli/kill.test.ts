import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { commandLine } from './support/run.ts';

describe('kill, blocks, unblock', () => {
  it('kills what is named, shows the block, and lifts it', async () => {
    const { run, written, verbs } = commandLine();
    const line = ['kill', '--issuer', 'ci', '--subject', 'job', '--reason', 'stolen'];
    expect(await run(...line)).toBe(EXIT.done);
    expect(verbs.calls.find(({ verb }) => verb === 'kill')?.args[1]).toEqual({
      issuer: 'ci',
      subject: 'job',
      grant: null,
      target: null,
      task: null,
      all: false,
      reason: 'stolen',
    });
    const [id = ''] = verbs.kills.keys();
    expect(written.err).toContain(`hallpass unblock ${id}`);
    expect(written.err).toContain('All of it has ended');
    expect(await run('blocks')).toBe(EXIT.done);
    expect(written.out).toContain('issuer ci, subject job');
    expect(await run('unblock', id, '--reason', 'found')).toBe(EXIT.done);
    written.out = '';
    expect(await run('blocks', '--json')).toBe(EXIT.done);
    expect(JSON.parse(written.out)).toEqual({ blocks: [] });
  });

  it('names what only lapses, and does not wait for it', async () => {
    const { run, written, verbs } = commandLine();
    const latestExpiry = Date.parse('2030-01-01T00:00:00.000Z');
    verbs.killRest = [{ target: 'saas', left: 3, failing: 0, latestExpiry, expiryOnly: true }];
    expect(await run('kill', '--all', '--reason', 'incident')).toBe(EXIT.done);
    expect(written.out).toMatch(/saas +3 +0 +2030-01-01 00:00:00Z +lapses then/);
  });

  it('says when a block is lifted by itself', async () => {
    const { run, written, verbs } = commandLine();
    expect(await run('kill', '--all', '--reason', 'drill', '--block-for', '15m')).toBe(EXIT.done);
    expect(verbs.calls.find(({ verb }) => verb === 'kill')?.args[1]).toMatchObject({ blockSeconds: 900 });
    expect(written.err).toMatch(/until 20\d\d-[\d-]+ [\d:]+Z, or until: hallpass unblock/);
  });

  it('says when nothing matches: a name may be misspelt', async () => {
    const { run, written } = commandLine();
    expect(await run('kill', '--grant', 'nightly-reprt', '--reason', 'stolen')).toBe(EXIT.done);
    expect(written.err).toContain('Nothing that is open matches grant nightly-reprt: if it should, compare');
    expect(written.err).toMatch(/hallpass unblock/);
  });

  it.each([[['kill', '--reason', 'x']], [['kill', '--all']], [['unblock', 'x']]])(
    'refuses %j as usage',
    async (args) => {
      const { run, verbs } = commandLine();
      expect(await run(...args)).toBe(EXIT.usage);
      expect(verbs.calls).toEqual([]);
    },
  );
});
