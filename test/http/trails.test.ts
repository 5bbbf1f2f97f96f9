import { expect, test } from 'vitest';
import { fakeBorder, post } from '../fakes/border.ts';

const PATH = '/audit/trails/aws';

function bearing(headers: Record<string, string>, body: unknown = { detail: {} }): RequestInit {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  };
}

test('trails: a delivery bears a secret of its own, or the token of somebody', async () => {
  const { app, verbs } = fakeBorder();
  const answer = await app.request(PATH, bearing({ 'hallpass-trail-secret': 'the secret' }));
  expect([answer.status, await answer.json()]).toEqual([200, { leases: 1 }]);
  const token = verbs.admit('pusher');
  expect((await app.request(PATH, post({ message: {} }, token))).status).toBe(200);
  const delivered = verbs.calls.filter(({ verb }) => verb === 'deliverTrail').map(({ args }) => args);
  expect(delivered).toEqual([
    ['aws', { secret: 'the secret' }, { detail: {} }],
    ['aws', { caller: verbs.callers.get(token) }, { message: {} }],
  ]);
});

test('trails: nothing is taken of a stranger, nor what is too large', async () => {
  const { app, verbs } = fakeBorder();
  expect((await app.request(PATH, bearing({}))).status).toBe(401);
  expect((await app.request(PATH, bearing({ authorization: 'Bearer nobody' }))).status).toBe(401);
  const large = bearing({ 'hallpass-trail-secret': 'x' }, { detail: 'x'.repeat(400_000) });
  expect((await app.request(PATH, large)).status).toBe(413);
  expect(verbs.calls.some(({ verb }) => verb === 'deliverTrail')).toBe(false);
});

test('trails: what cannot be written now is to come again, and a wrong bearer is told nothing', async () => {
  const { app } = fakeBorder({
    before: async (verb, name) =>
      verb !== 'deliverTrail'
        ? undefined
        : name === 'aws'
          ? { reason: 'overloaded', detail: 'A lease is changing', retryAfterMs: 5_000 }
          : { reason: 'unauthenticated', detail: 'not the bearer of trail "other"' },
  });
  const again = await app.request(PATH, bearing({ 'hallpass-trail-secret': 'x' }));
  expect([again.status, again.headers.get('retry-after')]).toEqual([503, '5']);
  const refused = await app.request('/audit/trails/other', bearing({ 'hallpass-trail-secret': 'x' }));
  expect(refused.status).toBe(401);
  expect(await refused.text()).not.toContain('other');
});
