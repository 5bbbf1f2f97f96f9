import { ok } from '../../result.ts';
import * as contract from '../contract.ts';
import { addEndpoint, type Border } from '../endpoint.ts';
import { killJson, killProgressJson } from '../rows.ts';

const tag = 'Kills';

export function addKillRoutes(border: Border): void {
  const { verbs } = border;

  addEndpoint(border, {
    operation: 'kill',
    method: 'post',
    path: '/v1/kills',
    tag,
    summary: 'End all that matches, and keep it out. For operators',
    description:
      'Answers when all of it is due. What is left of it, `GET /v1/kills/{id}` tells. Nothing that matches begins until the block is lifted.',
    body: contract.killRequest,
    answers: { 201: { description: 'All that matches is due', schema: contract.killProgress } },
    problems: ['limit-reached'],
    async serve({ caller, body }) {
      const killed = await verbs.kill(caller, {
        issuer: body.issuer ?? null,
        subject: body.subject ?? null,
        grant: body.grant ?? null,
        target: body.target ?? null,
        task: body.task ?? null,
        all: body.all ?? false,
        reason: body.reason,
        ...(body.block_seconds === undefined ? {} : { blockSeconds: body.block_seconds }),
      });
      return killed.ok ? ok({ status: 201, json: killProgressJson(killed.value) }) : killed;
    },
  });

  addEndpoint(border, {
    operation: 'readKill',
    method: 'get',
    path: '/v1/kills/{id}',
    tag,
    summary: 'Read a kill and what is left of it',
    answers: { 200: { description: 'The kill', schema: contract.killProgress } },
    problems: ['not-found'],
    async serve({ caller, id }) {
      const read = await verbs.readKill(caller, id);
      return read.ok ? ok({ status: 200, json: killProgressJson(read.value) }) : read;
    },
  });

  addEndpoint(border, {
    operation: 'listBlocks',
    method: 'get',
    path: '/v1/blocks',
    tag,
    summary: 'List the blocks that stand',
    answers: { 200: { description: 'The kills that keep out what they match', schema: contract.blocks } },
    problems: [],
    async serve({ caller }) {
      const standing = await verbs.listBlocks(caller);
      return standing.ok ? ok({ status: 200, json: { blocks: standing.value.map(killJson) } }) : standing;
    },
  });

  addEndpoint(border, {
    operation: 'liftBlock',
    method: 'post',
    path: '/v1/blocks/{id}/lift',
    tag,
    summary: 'Let in again what a kill keeps out. For operators',
    description: 'What the kill ended stays ended. Lifting again changes nothing.',
    body: contract.liftBlockRequest,
    answers: { 200: { description: 'Lifted', schema: contract.killResponse } },
    problems: ['not-found', 'in-progress'],
    async serve({ caller, id, body }) {
      const lifted = await verbs.liftBlock(caller, id, body.reason);
      return lifted.ok ? ok({ status: 200, json: { kill: killJson(lifted.value) } }) : lifted;
    },
  });
}
