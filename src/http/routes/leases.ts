import { ok } from '../../result.ts';
import * as contract from '../contract.ts';
import { addEndpoint, type Border } from '../endpoint.ts';
import { leaseJson } from '../rows.ts';
import { defined, pageOf } from './page.ts';

const tag = 'Leases';

export function addLeaseRoutes(border: Border): void {
  const { verbs } = border;

  addEndpoint(border, {
    operation: 'listLeases',
    method: 'get',
    path: '/v1/leases',
    tag,
    summary: 'List leases, newest first',
    query: contract.listLeasesQuery,
    answers: { 200: { description: 'A page of leases', schema: contract.leasePage } },
    problems: [],
    async serve({ caller, query, now }) {
      const { cursor, limit, live, overdue, ...names } = query;
      const filter = {
        ...defined(names),
        ...(live === undefined ? {} : { live: live === 'true' }),
        ...(overdue === undefined ? {} : { overdue: true }),
      };
      const page = await verbs.listLeases(caller, filter, pageOf({ cursor, limit }));
      if (!page.ok) return page;
      const leases = page.value.leases.map((lease) => leaseJson(lease, now));
      return ok({ status: 200, json: { leases, next_cursor: page.value.nextCursor } });
    },
  });

  addEndpoint(border, {
    operation: 'readLease',
    method: 'get',
    path: '/v1/leases/{id}',
    tag,
    summary: 'Read a lease',
    answers: { 200: { description: 'The lease', schema: contract.leaseResponse } },
    problems: ['not-found'],
    async serve({ caller, id, now }) {
      const lease = await verbs.readLease(caller, id);
      return lease.ok ? ok({ status: 200, json: { lease: leaseJson(lease.value, now) } }) : lease;
    },
  });

  addEndpoint(border, {
    operation: 'renewLease',
    method: 'post',
    path: '/v1/leases/{id}/renew',
    tag,
    summary: 'Move the expiry of a lease',
    description: 'The policy is asked again. No renewal reaches past `cap_at`.',
    body: contract.renewLeaseRequest,
    answers: { 200: { description: 'Renewed', schema: contract.leaseResponse } },
    problems: ['not-found', 'lease-ended', 'task-ended', 'cannot-renew', 'target-unavailable', 'conflict'],
    async serve({ caller, id, body, now }) {
      const lease = await verbs.renewLease(caller, id, body.ttl_seconds ?? null);
      return lease.ok ? ok({ status: 200, json: { lease: leaseJson(lease.value, now) } }) : lease;
    },
  });

  addEndpoint(border, {
    operation: 'revokeLease',
    method: 'post',
    path: '/v1/leases/{id}/revoke',
    tag,
    summary: 'End a credential now',
    description:
      'Waits a bounded time for the end. A lease that is still `ending` then is tried again until it ends.',
    body: contract.revokeLeaseRequest,
    answers: { 200: { description: 'Ended, or being ended', schema: contract.leaseResponse } },
    problems: ['not-found', 'conflict'],
    async serve({ caller, id, body, now }) {
      const lease = await verbs.revokeLease(caller, id, body.reason);
      return lease.ok ? ok({ status: 200, json: { lease: leaseJson(lease.value, now) } }) : lease;
    },
  });
}
