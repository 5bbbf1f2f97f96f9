import { expect, it } from 'vitest';
import * as contract from '../../src/http/contract.ts';
import { fakeBorder, get, post } from '../fakes/border.ts';

it('createApp: shows requests, and takes approvals, denials and cancellations, as the contract says', async () => {
  const { app, verbs } = fakeBorder();
  const token = verbs.admit('approver');
  const { id, digest } = verbs.awaitApproval().request;
  const read = async (answer: Response | Promise<Response>) =>
    contract.approvalRequestResponse.strict().parse(await (await answer).json()).request;
  const listed = await app.request('/v1/requests', get(token));
  expect(contract.approvalRequests.strict().parse(await listed.json()).requests).toHaveLength(1);
  expect(await read(app.request(`/v1/requests/${id}`, get(token)))).toMatchObject({ on_behalf_of: ['Ada'] });
  const approve = post({ digest, ttl_seconds: 60 }, token);
  expect((await read(app.request(`/v1/requests/${id}/approve`, approve))).state).toBe('approved');
  expect(verbs.calls.at(-1)?.args.slice(1)).toEqual([id, { digest, ttlSeconds: 60 }]);
  for (const [what, state] of [
    ['deny', 'denied'],
    ['cancel', 'cancelled'],
  ])
    expect(await read(app.request(`/v1/requests/${id}/${what}`, post({ reason: 'x' }, token)))).toMatchObject(
      {
        state,
        reason: 'x',
      },
    );
  expect((await app.request(`/v1/requests/${id}/approve`, post({}, token))).status).toBe(400);
});

it('createApp: answers 202 with the request to an opening that waits for approval', async () => {
  const views: ReturnType<typeof fake.verbs.awaitApproval>[] = [];
  const fake = fakeBorder({
    before: async (verb) =>
      verb === 'openTask' ? { reason: 'awaiting-approval', detail: '', view: views[0]! } : undefined,
  });
  views.push(fake.verbs.awaitApproval());
  const answer = await fake.app.request(
    '/v1/tasks',
    post({ grant: 'reports', task: 'x' }, fake.verbs.admit('job')),
  );
  expect(answer.status).toBe(202);
  const body = contract.awaitingApproval.strict().parse(await answer.json());
  expect(body).toMatchObject({ interval: 5, request: { state: 'pending' } });
  const [view] = views;
  const notBefore = fake.clock.now() + 86_400_000;
  views[0] = { ...view!, request: { ...view!.request, ask: { ...view!.request.ask, notBefore } } };
  const far = await fake.app.request(
    '/v1/tasks',
    post({ grant: 'reports', task: 'x' }, fake.verbs.admit('job')),
  );
  expect(contract.awaitingApproval.strict().parse(await far.json())).toMatchObject({
    interval: 60,
    request: { not_before: new Date(notBefore).toISOString() },
  });
});
