import type { RequestView } from '../../broker/verbs.ts';
import { ok, type Result } from '../../result.ts';
import * as contract from '../contract.ts';
import { addEndpoint, type Border } from '../endpoint.ts';
import { requestJson } from '../rows.ts';

const tag = 'Requests';

export function addRequestRoutes(border: Border): void {
  const { verbs } = border;
  const answers = { 200: { description: 'The request', schema: contract.approvalRequestResponse } };
  const reply = <E>(view: Result<RequestView, E>) =>
    view.ok ? ok({ status: 200, json: { request: requestJson(view.value) } }) : view;

  addEndpoint(border, {
    operation: 'listRequests',
    method: 'get',
    path: '/v1/requests',
    tag,
    summary: 'List the requests that wait or were approved: your own, and those that you may approve',
    answers: { 200: { description: 'The requests', schema: contract.approvalRequests } },
    problems: ['not-found'],
    async serve({ caller }) {
      const views = await verbs.listRequests(caller);
      return views.ok ? ok({ status: 200, json: { requests: views.value.map(requestJson) } }) : views;
    },
  });

  addEndpoint(border, {
    operation: 'readRequest',
    method: 'get',
    path: '/v1/requests/{id}',
    tag,
    summary: 'Read a request',
    answers,
    problems: ['not-found'],
    serve: async ({ caller, id }) => reply(await verbs.readRequest(caller, id)),
  });

  addEndpoint(border, {
    operation: 'approveRequest',
    method: 'post',
    path: '/v1/requests/{id}/approve',
    tag,
    summary: 'Approve exactly what was asked',
    description: 'Nobody approves for himself, or counts twice. An approver may shorten, and never widen.',
    body: contract.approveRequest,
    answers,
    problems: ['not-found', 'in-progress'],
    serve: async ({ caller, id, body }) => {
      const ask = { digest: body.digest, ttlSeconds: body.ttl_seconds ?? null };
      return reply(await verbs.approveRequest(caller, id, ask));
    },
  });

  addEndpoint(border, {
    operation: 'denyRequest',
    method: 'post',
    path: '/v1/requests/{id}/deny',
    tag,
    summary: 'Deny a request: one denial ends it',
    body: contract.reasonRequest,
    answers,
    problems: ['not-found', 'in-progress'],
    serve: async ({ caller, id, body }) => reply(await verbs.denyRequest(caller, id, body.reason)),
  });

  addEndpoint(border, {
    operation: 'cancelRequest',
    method: 'post',
    path: '/v1/requests/{id}/cancel',
    tag,
    summary: 'Take a request back. For whoever asked, and operators',
    body: contract.reasonRequest,
    answers,
    problems: ['not-found', 'in-progress'],
    serve: async ({ caller, id, body }) => reply(await verbs.cancelRequest(caller, id, body.reason)),
  });
}
