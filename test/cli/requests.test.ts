import { expect, it } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { commandLine } from './support/run.ts';

it('requests, approve, deny, cancel: show and decide', async () => {
  const { run, written, verbs } = commandLine();
  const { id, digest } = verbs.awaitApproval().request;
  expect(await run('requests')).toBe(EXIT.done);
  expect(written.out).toContain('job at test, for Ada');
  expect(await run('approve', id, '--ttl', '5m')).toBe(EXIT.done);
  expect(verbs.calls.at(-1)?.args.slice(1)).toEqual([id, { digest, ttlSeconds: 300 }]);
  expect(await run('approve', id, '--digest', 'seen', '--json')).toBe(EXIT.done);
  expect(verbs.calls.at(-1)?.args[2]).toEqual({ digest: 'seen', ttlSeconds: null });
  expect(await run('deny', id, '--reason', 'no')).toBe(EXIT.done);
  expect(await run('cancel', id, '--reason', 'done')).toBe(EXIT.done);
  expect(await run('requests', id, '--json')).toBe(EXIT.done);
  expect(verbs.requests.get(id)?.request.state).toBe('cancelled');
  expect(await run('deny', id)).toBe(EXIT.usage);
});
