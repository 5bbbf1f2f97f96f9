import { createRoute } from '@hono/zod-openapi';
import type { ZodObject } from 'zod';
import { emptyRequest, idempotencyKey, idParams, type ProblemCode, problem } from './contract.ts';
import type { Endpoint } from './endpoint.ts';
import { PROBLEMS } from './wire.ts';

const COMMON: readonly ProblemCode[] = [
  'invalid-request',
  'unauthenticated',
  'not-allowed',
  'rate-limited',
  'overloaded',
  'not-ready',
  'store-unavailable',
  'internal',
];
const WITH_BODY: readonly ProblemCode[] = ['too-large', 'unsupported-media-type'];

/** The endpoint's place in the OpenAPI document. */
export function describeEndpoint<Query extends ZodObject, Body extends ZodObject>(
  endpoint: Endpoint<Query, Body>,
) {
  const codes = new Set([...endpoint.problems, ...COMMON, ...(endpoint.method === 'post' ? WITH_BODY : [])]);
  return createRoute({
    operationId: endpoint.operation,
    method: endpoint.method,
    path: endpoint.path,
    tags: [endpoint.tag],
    summary: endpoint.summary,
    ...(endpoint.description ? { description: endpoint.description } : {}),
    security: [{ bearer: [] }],
    request: {
      ...(endpoint.path.includes('{id}') ? { params: idParams } : {}),
      ...(endpoint.query ? { query: endpoint.query } : {}),
      ...(endpoint.idempotent ? { headers: idempotencyHeader } : {}),
      ...(endpoint.body
        ? {
            body: {
              required: !endpoint.body.safeParse({}).success,
              content: { 'application/json': { schema: endpoint.body } },
            },
          }
        : {}),
    },
    responses: {
      ...Object.fromEntries(
        Object.entries(endpoint.answers).map(([status, { description, schema }]) => [
          status,
          { description, content: { 'application/json': { schema } } },
        ]),
      ),
      ...problemResponses([...codes]),
    },
  });
}

const idempotencyHeader = emptyRequest.extend({ 'Idempotency-Key': idempotencyKey.optional() });

function problemResponses(codes: readonly ProblemCode[]) {
  const statuses = [...new Set(codes.map((code) => PROBLEMS[code].status))].sort((a, b) => a - b);
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      {
        description: codes
          .filter((code) => PROBLEMS[code].status === status)
          .map((code) => `\`${code}\`: ${PROBLEMS[code].title}`)
          .join('; '),
        content: { 'application/problem+json': { schema: problem } },
      },
    ]),
  );
}
