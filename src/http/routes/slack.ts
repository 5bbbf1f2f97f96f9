import { createRoute, z } from '@hono/zod-openapi';
import type { SlackDesk } from '../../notify/slack/desk.ts';
import { readUtf8 } from '../body.ts';
import { type Border, withinBounds } from '../endpoint.ts';
import { jsonResponse, observed, problemResponse } from '../observe.ts';

/** Where Slack tells of clicks. The signature of the body is what proves who sends it, so the body stays as it came. */
export function addSlackRoutes(border: Border, desk: SlackDesk): void {
  const path = '/slack/{channel}';
  border.app.openAPIRegistry.registerPath(
    createRoute({
      operationId: 'slackClick',
      method: 'post',
      path,
      tags: ['Notifications'],
      summary: 'A click on a button in Slack: the interactivity request URL of its app',
      request: {
        params: z.object({ channel: z.string() }),
        body: {
          required: true,
          content: { 'application/x-www-form-urlencoded': { schema: z.object({ payload: z.string() }) } },
        },
      },
      responses: {
        200: { description: 'Taken; whoever clicked is told in Slack what came of it' },
        401: { description: "The signature is not Slack's, or not of now, or came before" },
      },
    }),
  );
  border.app.post(
    '/slack/:channel',
    observed(border, path, async (c, exchange) => {
      const bounded = await withinBounds(border, false, c);
      if (!bounded.ok) return problemResponse(bounded.error, exchange);
      try {
        const { headers } = c.req.raw;
        const body = await readUtf8(c.req.raw, border.limits.maxBodyBytes);
        if (!body.ok) return problemResponse(body.error, exchange);
        const outcome = await desk.handle(c.req.param('channel') ?? '', {
          timestamp: headers.get('x-slack-request-timestamp'),
          signature: headers.get('x-slack-signature'),
          body: body.value,
        });
        if (outcome === 'taken') return jsonResponse(200, {}, exchange);
        return problemResponse({ code: outcome === 'refused' ? 'unauthenticated' : 'not-found' }, exchange);
      } finally {
        bounded.value();
      }
    }),
  );
}
