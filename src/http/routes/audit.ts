import { ok } from '../../result.ts';
import * as contract from '../contract.ts';
import { addEndpoint, type Border } from '../endpoint.ts';
import { defined, pageOf } from './page.ts';

export function addAuditRoutes(border: Border): void {
  addEndpoint(border, {
    operation: 'readAudit',
    method: 'get',
    path: '/v1/audit',
    tag: 'Audit',
    summary: 'Read the log. For auditors and operators',
    description: 'Reading is logged too.',
    query: contract.auditQuery,
    answers: { 200: { description: 'A page of events', schema: contract.auditPage } },
    problems: [],
    async serve({ caller, query }) {
      const { cursor, limit, since, until, ...names } = query;
      const filter = {
        ...defined(names),
        ...(since === undefined ? {} : { since: Date.parse(since) }),
        ...(until === undefined ? {} : { until: Date.parse(until) }),
      };
      const page = await border.verbs.readAudit(caller, filter, pageOf({ cursor, limit }));
      if (!page.ok) return page;
      return ok({ status: 200, json: { events: page.value.events, next_cursor: page.value.nextCursor } });
    },
  });
}
