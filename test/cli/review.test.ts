import { expect, it } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { commandLine } from './support/run.ts';

it('review: lists, shows and closes', async () => {
  const { run, written, verbs } = commandLine();
  const { id } = verbs.awaitReview();
  expect(await run('review')).toBe(EXIT.done);
  expect(written.out).toContain('Ada (ada at test)');
  expect(written.out).toContain('overdue');
  expect(await run('review', 'show', id)).toBe(EXIT.done);
  expect(await run('review', 'close', id)).toBe(EXIT.usage);
  expect(await run('review', 'close', id, '--finding', 'as it should be')).toBe(EXIT.done);
  expect(verbs.reviews.get(id)).toMatchObject({ state: 'closed', finding: 'as it should be' });
  expect(await run('review', 'show', id, '--json')).toBe(EXIT.done);
  expect(await run('review', '--json')).toBe(EXIT.done);
});

it('exec --practice: opens and ends the task, and does not run the command', async () => {
  const { run, written, verbs } = commandLine();
  const ask = ['--grant', 'reports', '--task', 'drill', '--purpose', 'a drill', '--ticket', 'OPS-1'];
  const start = '2030-01-31T07:00:00+01:00';
  const status = await run(
    'exec',
    ...ask,
    '--practice',
    '--not-before',
    start,
    '--',
    'sh',
    '-c',
    'echo ran; exit 9',
  );
  expect(status).toBe(EXIT.done);
  expect(written.out).not.toContain('ran');
  expect(written.err).toContain('Practice: nothing was minted, and the command was not run');
  expect(verbs.calls.find(({ verb }) => verb === 'openTask')?.args[1]).toMatchObject({
    practice: true,
    ticket: 'OPS-1',
    notBefore: Date.parse(start),
  });
  expect([...verbs.tasks.values()]).toMatchObject([{ practice: true, state: 'ended' }]);
  expect(verbs.leases.size).toBe(0);
});

it('get --practice: prints the task, and no credential', async () => {
  const { run, written } = commandLine();
  expect(await run('get', '--grant', 'reports', '--task', 'drill', '--practice')).toBe(EXIT.done);
  expect(written.out.match(/^export (\w+)/gm)).toEqual([
    'export HALLPASS_TASK',
    'export HALLPASS_TASK_TOKEN',
  ]);
  expect(written.err).toContain('Practice: nothing was minted');
});

it.each(['tomorrow', '2030-01-31', '2030-01-31T06:00:00'])(
  '--not-before %s: is a usage error',
  async (text) => {
    const { run } = commandLine();
    expect(await run('get', '--grant', 'reports', '--task', 'x', '--not-before', text)).toBe(EXIT.usage);
  },
);
