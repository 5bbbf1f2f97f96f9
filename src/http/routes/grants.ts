import { ok } from '../../result.ts';
import * as contract from '../contract.ts';
import { addEndpoint, type Border } from '../endpoint.ts';
import { availableGrantJson, explanationJson } from '../rows.ts';

const tag = 'Grants';

export function addGrantRoutes(border: Border): void {
  const { verbs } = border;

  addEndpoint(border, {
    operation: 'availableGrants',
    method: 'get',
    path: '/v1/grants',
    tag,
    summary: 'What may I have?',
    answers: { 200: { description: 'The grants that let the caller in', schema: contract.availableGrants } },
    problems: [],
    async serve({ caller }) {
      const grants = await verbs.availableGrants(caller);
      if (!grants.ok) return grants;
      return ok({ status: 200, json: { grants: grants.value.map(availableGrantJson) } });
    },
  });

  addEndpoint(border, {
    operation: 'explain',
    method: 'post',
    path: '/v1/explain',
    tag,
    summary: 'Why would this be refused? For operators',
    description: 'Check by check, with what the policy expects and what it sees. Nothing is issued.',
    body: contract.explainRequest,
    answers: { 200: { description: 'Every check of every grant asked for', schema: contract.explanation } },
    problems: ['not-found'],
    async serve({ caller, body }) {
      const explanation = await verbs.explain(caller, {
        grant: body.grant ?? null,
        identity: body.identity ?? null,
        token: body.token ?? null,
        ...(body.actor_token === undefined ? {} : { actorToken: body.actor_token }),
        task: body.task ?? null,
        purpose: body.purpose ?? null,
        ticket: body.ticket ?? null,
        parameters: body.parameters ?? {},
        credentials: body.credentials ?? null,
        ttlSeconds: body.ttl_seconds ?? null,
      });
      return explanation.ok ? ok({ status: 200, json: explanationJson(explanation.value) }) : explanation;
    },
  });
}
