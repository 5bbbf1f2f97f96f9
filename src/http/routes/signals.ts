import { createRoute, z } from '@hono/zod-openapi';
import type { SignalDesk } from '../../signals/receive.ts';
import { readUtf8 } from '../body.ts';
import { type Border, withinBounds } from '../endpoint.ts';
import { jsonResponse, observed, problemResponse } from '../observe.ts';

const MEDIA_TYPE = /^application\/secevent\+jwt\s*$/i;

/** Where transmitters push security event tokens (RFC 8935). The token proves itself; nothing else authenticates. */
export function addSignalRoutes(border: Border, desk: SignalDesk): void {
  const path = '/signals';
  const fault = z.object({ err: z.string(), description: z.string() });
  border.app.openAPIRegistry.registerPath(
    createRoute({
      operationId: 'receiveSignal',
      method: 'post',
      path,
      tags: ['Signals'],
      summary: 'Receive a security event token (RFC 8935, CAEP)',
      request: {
        body: { required: true, content: { 'application/secevent+jwt': { schema: z.string() } } },
      },
      responses: {
        202: { description: 'Taken, now or before' },
        400: {
          description: 'Not taken, as RFC 8935, section 2.3, has it',
          content: { 'application/json': { schema: fault } },
        },
      },
    }),
  );
  border.app.post(
    path,
    observed(border, path, async (c, exchange) => {
      const bounded = await withinBounds(border, false, c);
      if (!bounded.ok) return problemResponse(bounded.error, exchange);
      try {
        if (!MEDIA_TYPE.test(c.req.raw.headers.get('content-type') ?? '')) {
          const description = 'Send application/secevent+jwt';
          return jsonResponse(400, { err: 'invalid_request', description }, exchange);
        }
        const body = await readUtf8(c.req.raw, border.limits.maxBodyBytes);
        if (!body.ok) return problemResponse(body.error, exchange);
        const refusal = await desk.receive(body.value.trim());
        if (refusal === null) return new Response(null, { status: 202 });
        // RFC 8935, section 2.4, has no code for a fault that passes: a status that says so.
        if (refusal.err === 'unavailable')
          return problemResponse({ code: 'overloaded', retryAfterMs: 10_000 }, exchange);
        return jsonResponse(400, refusal, exchange);
      } finally {
        bounded.value();
      }
    }),
  );
}
