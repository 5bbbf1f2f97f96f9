import { ok } from '../../result.ts';
import * as contract from '../contract.ts';
import { addEndpoint, type Border } from '../endpoint.ts';
import { taskGrantJson } from '../rows.ts';

const tag = 'Task grants';

export function addTaskGrantRoutes(border: Border): void {
  const { verbs } = border;

  addEndpoint(border, {
    operation: 'createTaskGrant',
    method: 'post',
    path: '/v1/task-grants',
    tag,
    summary: 'Cut a grant down to one run. For orchestrators',
    body: contract.createTaskGrantRequest,
    answers: { 201: { description: 'Made', schema: contract.taskGrantResponse } },
    problems: [],
    async serve({ caller, body }) {
      const made = await verbs.createTaskGrant(caller, {
        grant: body.grant,
        task: body.task,
        parameters: body.parameters ?? {},
        credentials: body.credentials ?? null,
        maxTtlSeconds: body.max_ttl_seconds ?? null,
        subject: body.subject ?? null,
        expiresInSeconds: body.expires_in_seconds,
        uses: body.uses,
      });
      return made.ok ? ok({ status: 201, json: { task_grant: taskGrantJson(made.value) } }) : made;
    },
  });

  addEndpoint(border, {
    operation: 'readTaskGrant',
    method: 'get',
    path: '/v1/task-grants/{id}',
    tag,
    summary: 'Read a task grant',
    answers: { 200: { description: 'The task grant', schema: contract.taskGrantResponse } },
    problems: ['not-found'],
    async serve({ caller, id }) {
      const read = await verbs.readTaskGrant(caller, id);
      return read.ok ? ok({ status: 200, json: { task_grant: taskGrantJson(read.value) } }) : read;
    },
  });
}
