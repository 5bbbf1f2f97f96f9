import { ok } from '../../result.ts';
import * as contract from '../contract.ts';
import { addEndpoint, type Border } from '../endpoint.ts';
import { awaitingJson, issuedCredentialJson, leaseJson, openedTaskJson, taskJson } from '../rows.ts';
import { defined, pageOf } from './page.ts';

const tag = 'Tasks';

export function addTaskRoutes(border: Border): void {
  const { verbs } = border;

  addEndpoint(border, {
    operation: 'openTask',
    method: 'post',
    path: '/v1/tasks',
    tag,
    summary: 'Open a task and receive its credentials',
    description:
      'The bearer token proves who you are. The answer holds a token of the task: everything about the task takes that one. ' +
      'With an `Idempotency-Key`, repeating the request never makes a second credential; with a `public_key` too, it gives the first ones again.',
    body: contract.openTaskRequest,
    idempotent: true,
    mints: true,
    answers: {
      200: {
        description: 'Opened before with the same idempotency key',
        schema: contract.openTaskResponse,
      },
      201: { description: 'Opened', schema: contract.openTaskResponse },
      202: {
        description: 'It waits for approval: look at the request, then open again with it',
        schema: contract.awaitingApproval,
      },
    },
    problems: [
      'in-progress',
      'already-delivered',
      'idempotency-key-reused',
      'task-ended',
      'too-early',
      'review-overdue',
      'limit-reached',
      'target-unavailable',
      'mint-failed',
    ],
    async serve({ caller, body, idempotencyKey, now }) {
      const opened = await verbs.openTask(caller, {
        grant: body.grant,
        task: body.task,
        purpose: body.purpose ?? null,
        ...(body.ticket === undefined ? {} : { ticket: body.ticket }),
        parameters: body.parameters ?? {},
        credentials: body.credentials ?? null,
        ttlSeconds: body.ttl_seconds ?? null,
        taskGrant: body.task_grant ?? null,
        ...(body.practice === undefined ? {} : { practice: body.practice }),
        ...(body.not_before === undefined ? {} : { notBefore: Date.parse(body.not_before) }),
        ...(body.request === undefined ? {} : { request: body.request }),
        publicKey: body.public_key ?? null,
        idempotencyKey,
        ...(body.actor_token === undefined
          ? {}
          : { actor: { kind: 'bearer' as const, token: body.actor_token } }),
      });
      if (!opened.ok && opened.error.reason === 'awaiting-approval')
        return ok({ status: 202, json: awaitingJson(opened.error.view, now) });
      if (!opened.ok) return opened;
      return ok({ status: opened.value.repeated ? 200 : 201, json: openedTaskJson(opened.value, now) });
    },
  });

  addEndpoint(border, {
    operation: 'listTasks',
    method: 'get',
    path: '/v1/tasks',
    tag,
    summary: 'List tasks, newest first',
    query: contract.listTasksQuery,
    answers: { 200: { description: 'A page of tasks', schema: contract.taskPage } },
    problems: [],
    async serve({ caller, query }) {
      const { cursor, limit, ...filter } = query;
      const page = await verbs.listTasks(caller, defined(filter), pageOf({ cursor, limit }));
      if (!page.ok) return page;
      const { tasks, nextCursor } = page.value;
      return ok({ status: 200, json: { tasks: tasks.map(taskJson), next_cursor: nextCursor } });
    },
  });

  addEndpoint(border, {
    operation: 'readTask',
    method: 'get',
    path: '/v1/tasks/{id}',
    tag,
    summary: 'Read a task and its leases',
    answers: { 200: { description: 'The task', schema: contract.taskWithLeases } },
    problems: ['not-found'],
    async serve({ caller, id, now }) {
      const read = await verbs.readTask(caller, id);
      if (!read.ok) return read;
      const leases = read.value.leases.map((lease) => leaseJson(lease, now));
      return ok({ status: 200, json: { task: taskJson(read.value.task), leases } });
    },
  });

  addEndpoint(border, {
    operation: 'addCredentials',
    method: 'post',
    path: '/v1/tasks/{id}/credentials',
    tag,
    summary: 'Receive more credentials of the grant',
    body: contract.addCredentialsRequest,
    mints: true,
    answers: { 201: { description: 'Issued', schema: contract.addCredentialsResponse } },
    problems: ['not-found', 'task-ended', 'limit-reached', 'target-unavailable', 'mint-failed'],
    async serve({ caller, id, body, now }) {
      const ask = { credentials: body.credentials, ttlSeconds: body.ttl_seconds ?? null };
      const added = await verbs.addCredentials(caller, id, ask);
      if (!added.ok) return added;
      const credentials = added.value.credentials.map((issued) => issuedCredentialJson(issued, now));
      return ok({ status: 201, json: { task: taskJson(added.value.task), credentials } });
    },
  });

  addEndpoint(border, {
    operation: 'heartbeat',
    method: 'post',
    path: '/v1/tasks/{id}/heartbeat',
    tag,
    summary: 'Say that the task is still running',
    answers: { 200: { description: 'Noted', schema: contract.heartbeatResponse } },
    problems: ['not-found', 'task-ended'],
    async serve({ caller, id }) {
      const task = await verbs.heartbeat(caller, id);
      return task.ok ? ok({ status: 200, json: { task: taskJson(task.value) } }) : task;
    },
  });

  addEndpoint(border, {
    operation: 'completeTask',
    method: 'post',
    path: '/v1/tasks/{id}/complete',
    tag,
    summary: 'End the task and its credentials',
    description:
      'Waits a bounded time for the ends. Leases that have not ended by then are being ended; read them to see.',
    body: contract.completeTaskRequest,
    answers: { 200: { description: 'Ended', schema: contract.taskWithLeases } },
    problems: ['not-found'],
    async serve({ caller, id, body, now }) {
      const done = await verbs.completeTask(caller, id, body.exit_status ?? null);
      if (!done.ok) return done;
      const leases = done.value.leases.map((lease) => leaseJson(lease, now));
      return ok({ status: 200, json: { task: taskJson(done.value.task), leases } });
    },
  });
}
