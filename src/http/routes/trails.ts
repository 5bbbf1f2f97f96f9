import { createRoute } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { TrailBearer } from '../../broker/trail.ts';
import { ok, type Result } from '../../result.ts';
import { readJsonBody } from '../body.ts';
import * as contract from '../contract.ts';
import { authenticate, type Border, withinBounds } from '../endpoint.ts';
import { type Exchange, type HttpEnv, jsonResponse, observed, problemResponse } from '../observe.ts';
import { type Fault, refusalFault } from '../wire.ts';

/** An event of EventBridge has up to 256 KiB, and an entry of Google's log as much, a third more in base64. */
const MAX_EVENT_BYTES = 400_000;

/** What a delivery bears where its sender can make no token. */
const SECRET_HEADER = 'hallpass-trail-secret';

/** Where clouds deliver their audit trails. */
export function addTrailRoutes(border: Border): void {
  const path = '/audit/trails/{name}';
  border.app.openAPIRegistry.registerPath(
    createRoute({
      operationId: 'deliverTrail',
      method: 'post',
      path,
      tags: ['Audit'],
      summary: "Deliver an event of a cloud's audit trail, for evidence of use",
      description:
        'By EventBridge with the header `Hallpass-Trail-Secret`, or by Pub/Sub with its token. It may come twice.',
      request: { params: contract.trailParams },
      responses: {
        200: {
          description: 'Taken; 0 leases when it is of nothing of ours',
          content: { 'application/json': { schema: contract.trailAnswer } },
        },
        401: { description: 'Not its bearer, or there is no such trail' },
        503: { description: 'It could not be written: deliver it again' },
      },
    }),
  );
  border.app.post(
    path.replace('{name}', ':name'),
    observed(border, path, async (c, exchange) => {
      const place = await withinBounds(border, false, c);
      if (!place.ok) return problemResponse(place.error, exchange);
      try {
        return await deliver(border, c, exchange);
      } finally {
        place.value();
      }
    }),
  );
}

async function deliver(border: Border, c: Context<HttpEnv>, exchange: Exchange): Promise<Response> {
  const bearer = await bearerOf(border, c, exchange);
  if (!bearer.ok) return problemResponse(bearer.error, exchange);
  const body = await readJsonBody(c.req.raw, { ...border.limits, ...BOUNDS });
  if (!body.ok) return problemResponse(body.error, exchange);
  const taken = await border.verbs.deliverTrail(c.req.param('name') ?? '', bearer.value, body.value);
  if (!taken.ok) return problemResponse(refusalFault(taken.error), exchange);
  return jsonResponse(200, { leases: taken.value }, exchange);
}

/** Others write these events, and some nest deeply. */
const BOUNDS = { maxBodyBytes: MAX_EVENT_BYTES, maxJsonDepth: 64, maxJsonMembers: 20_000 };

async function bearerOf(
  border: Border,
  c: Context<HttpEnv>,
  exchange: Exchange,
): Promise<Result<TrailBearer, Fault>> {
  const secret = c.req.raw.headers.get(SECRET_HEADER);
  if (secret !== null) return ok({ secret });
  const caller = await authenticate(border, 'deliver-trail', c, exchange);
  return caller.ok ? ok({ caller: caller.value }) : caller;
}
