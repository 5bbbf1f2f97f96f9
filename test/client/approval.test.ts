import { expect, it } from 'vitest';
import type { RequestView } from '../../src/broker/verbs.ts';
import { createClient } from '../../src/client/client.ts';
import { fakeBorder } from '../fakes/border.ts';

it('openTask: waits for approval as often as the broker says, and opens with what was approved', async () => {
  const views: RequestView[] = [];
  let looks = 0;
  const border = fakeBorder({
    before: async (verb) =>
      verb === 'openTask' && ++looks < 4
        ? { reason: 'awaiting-approval', detail: '', view: views[0]! }
        : undefined,
  });
  views.push(border.verbs.awaitApproval());
  const waits: number[] = [];
  const token = border.verbs.admit('job');
  const client = createClient({
    url: 'http://127.0.0.1',
    token: async () => token,
    fetch: async (url, init) => border.app.request(String(url), init),
    sleep: async (ms) => void waits.push(ms),
  });
  const told: string[] = [];
  const task = await client.openTask(
    { grant: 'reports', task: 'nightly-1' },
    { unsealed: true, onAwaiting: ({ id }) => told.push(id) },
  );
  const { id } = views[0]!.request;
  expect({ told, waits, state: task.task.state }).toEqual({
    told: [id],
    waits: [5_000, 5_000, 5_000],
    state: 'open',
  });
  const asked = border.verbs.calls.filter(({ verb }) => verb === 'openTask').map(({ args }) => args[1]);
  expect(asked.map((ask) => (ask as { request?: string }).request)).toEqual([undefined, id, id, id]);
});
