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

it('openTask: what was approved for later is opened when its start has come', async () => {
  const views: RequestView[] = [];
  const answers = ['awaiting-approval', 'too-early'] as const;
  let looks = 0;
  const border = fakeBorder({
    before: async (verb) => {
      if (verb !== 'openTask') return undefined;
      const reason = answers[looks++];
      if (reason === 'awaiting-approval') return { reason, detail: '', view: views[0]! };
      return reason && { reason, detail: 'It is approved from then on', retryAfterMs: 86_400_000 };
    },
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
  const not_before = '2030-01-31T06:00:00.000Z';
  const task = await client.openTask({ grant: 'reports', task: 'nightly-1', not_before }, { unsealed: true });
  expect({ waits, state: task.task.state }).toEqual({ waits: [5_000, 86_400_000], state: 'open' });
  const asked = border.verbs.calls.filter(({ verb }) => verb === 'openTask').map(({ args }) => args[1]);
  const { id } = views[0]!.request;
  expect(asked.map((ask) => (ask as { request?: string; notBefore?: number }).request)).toEqual([
    undefined,
    id,
    id,
  ]);
  expect(asked.every((ask) => (ask as { notBefore?: number }).notBefore === Date.parse(not_before))).toBe(
    true,
  );
});
