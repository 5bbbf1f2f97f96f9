import { expect, it } from 'vitest';
import * as contract from '../../src/http/contract.ts';
import { fakeBorder, get, post } from '../fakes/border.ts';

it('createApp: shows reviews and closes them, as the contract says', async () => {
  const { app, verbs } = fakeBorder();
  const token = verbs.admit('reviewer');
  const { id } = verbs.awaitReview();
  const listed = contract.reviews.strict().parse(await (await app.request('/v1/reviews', get(token))).json());
  expect(listed.reviews).toMatchObject([{ id, overdue: true, practice: false, people: ['Ada'] }]);
  const read = async (answer: Response) => contract.reviewResponse.strict().parse(await answer.json()).review;
  expect(await read(await app.request(`/v1/reviews/${id}`, get(token)))).toMatchObject({ state: 'due' });
  for (const body of [{}, { finding: '' }, { finding: ' ' }, { finding: 'x', more: 1 }])
    expect((await app.request(`/v1/reviews/${id}/close`, post(body, token))).status).toBe(400);
  const closed = await read(await app.request(`/v1/reviews/${id}/close`, post({ finding: 'fine' }, token)));
  expect(closed).toMatchObject({ state: 'closed', overdue: false, finding: 'fine' });
  expect(verbs.calls.at(-1)?.args.slice(1)).toEqual([id, 'fine']);
});

it.each([
  [{ reason: 'review-overdue', detail: 'The review x is overdue' }, 403, 'review-overdue', null],
  [{ reason: 'too-early', detail: 'From then on', retryAfterMs: 90_000 }, 409, 'too-early', '90'],
] as const)(
  'createApp: tells whoever opens why, and since when: %j',
  async (refusal, status, code, retry) => {
    const fake = fakeBorder({ before: async (verb) => (verb === 'openTask' ? refusal : undefined) });
    const body = {
      grant: 'reports',
      task: 'x',
      practice: true,
      not_before: '2030-01-31T06:00:00.000Z',
      ticket: 'OPS-1',
    };
    const answer = await fake.app.request('/v1/tasks', post(body, fake.verbs.admit('ada')));
    expect(answer.status).toBe(status);
    expect(answer.headers.get('retry-after')).toBe(retry);
    expect(contract.problem.parse(await answer.json())).toMatchObject({ code, detail: refusal.detail });
    expect(fake.verbs.calls.at(-1)?.args[1]).toMatchObject({
      practice: true,
      notBefore: Date.parse('2030-01-31T06:00:00.000Z'),
      ticket: 'OPS-1',
    });
    for (const bent of [{ practice: false }, { not_before: 'tomorrow' }, { ticket: '' }])
      expect(
        (await fake.app.request('/v1/tasks', post({ ...body, ...bent }, fake.verbs.admit('ada')))).status,
      ).toBe(400);
  },
);
