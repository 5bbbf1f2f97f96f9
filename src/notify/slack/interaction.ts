import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { sha256 } from '../../json.ts';
import { err, ok, type Result } from '../../result.ts';
import { ID_PATTERN } from '../../runtime.ts';
import { APPROVE, DENY } from './message.ts';

/** What Slack sends when somebody clicks, as it came over the wire. */
export interface SlackCallback {
  /** `X-Slack-Request-Timestamp` and `X-Slack-Signature`; null where they are missing. */
  readonly timestamp: string | null;
  readonly signature: string | null;
  /** The whole body, unparsed: it is what was signed. */
  readonly body: string;
}

/** A click that Slack vouches for. */
export interface Interaction {
  /** The same for what is sent twice. */
  readonly id: string;
  /** Milliseconds since the epoch, until when a repetition would be taken for good. */
  readonly until: number;
  readonly user: string;
  readonly responseUrl: string | null;
  /** Null: it is no click on a button of ours. */
  readonly decision: {
    readonly action: 'approve' | 'deny';
    readonly request: string;
    readonly digest: string;
  } | null;
}

/** How far its clock and ours may differ, and how long something can lie on the way. */
const WINDOW_SECONDS = 300;

/**
 * Reads a callback whose signature is good and of now: `v0=` and the HMAC-SHA-256 of `v0:TIMESTAMP:BODY`
 * (https://docs.slack.dev/authentication/verifying-requests-from-slack). Nothing is parsed before that.
 */
export function readInteraction(
  { timestamp, signature, body }: SlackCallback,
  secret: string,
  now: number,
): Result<Interaction, string> {
  if (timestamp === null || !/^\d{1,12}$/.test(timestamp) || signature === null)
    return err('it is not signed');
  const mac = createHmac('sha256', secret).update(`v0:${timestamp}:${body}`).digest('hex');
  if (!equal(`v0=${mac}`, signature)) return err('its signature is not good');
  const at = Number(timestamp);
  if (Math.abs(now / 1000 - at) > WINDOW_SECONDS) return err('it is not of now');
  const payload = payloadOf(body);
  if (payload === null) return err('it is no click that can be read');
  const [action] = payload.actions;
  return ok({
    id: `slack:${sha256(`${timestamp}:${body}`)}`,
    until: (at + 2 * WINDOW_SECONDS) * 1000,
    user: payload.user.id,
    responseUrl: payload.response_url ?? null,
    decision: action === undefined || payload.actions.length !== 1 ? null : decisionOf(action),
  });
}

const blockActions = z.object({
  type: z.literal('block_actions'),
  user: z.object({ id: z.string().regex(/^[UW][A-Z0-9]{1,30}$/) }),
  response_url: z.string().max(2_000).optional(),
  actions: z.array(z.object({ action_id: z.string(), value: z.string().optional() })).max(25),
});

function payloadOf(body: string): z.output<typeof blockActions> | null {
  const payloads = new URLSearchParams(body).getAll('payload');
  if (payloads.length !== 1) return null;
  try {
    return blockActions.safeParse(JSON.parse(payloads[0] ?? '')).data ?? null;
  } catch {
    return null;
  }
}

const VALUE = /^([^.]+)\.([A-Za-z0-9_-]{43})$/;

function decisionOf(action: {
  readonly action_id: string;
  readonly value?: string | undefined;
}): Interaction['decision'] {
  const [, request = '', digest = ''] = VALUE.exec(action.value ?? '') ?? [];
  const verb = action.action_id === APPROVE ? 'approve' : action.action_id === DENY ? 'deny' : null;
  return verb === null || !ID_PATTERN.test(request) ? null : { action: verb, request, digest };
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
