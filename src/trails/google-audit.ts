import { z } from 'zod';
import type { TrailUse } from './trail.ts';

/** A push of Pub/Sub. https://cloud.google.com/pubsub/docs/push#receive_push */
const push = z.object({
  message: z.object({ data: z.base64().max(400_000), messageId: z.string().max(200) }),
});

/** https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog */
const entry = z.object({
  insertId: z.string().max(300).optional(),
  timestamp: z.iso.datetime({ offset: true }),
  protoPayload: z.object({
    serviceName: z.string().max(200),
    methodName: z.string().max(300),
    authenticationInfo: z.object({ principalEmail: z.string().min(1).max(300) }),
    requestMetadata: z
      .object({ callerIp: z.string().max(300).optional(), callerSuppliedUserAgent: z.string().optional() })
      .optional(),
    status: z.object({ code: z.int().optional(), message: z.string().optional() }).optional(),
  }),
});

/** A call that somebody made with a token of an account; null for anything else that a log holds. */
export function readGoogleAudit(body: unknown): TrailUse | null {
  const message = push.safeParse(body).data?.message;
  const read = message && entry.safeParse(parse(message.data));
  if (!read?.success) return null;
  const { insertId, timestamp, protoPayload } = read.data;
  const { requestMetadata, status } = protoPayload;
  return {
    event: insertId ?? message?.messageId ?? '',
    at: Date.parse(timestamp),
    action: `${protoPayload.serviceName} ${protoPayload.methodName}`,
    address: requestMetadata?.callerIp ?? null,
    application: requestMetadata?.callerSuppliedUserAgent ?? null,
    error: status?.code ? `code ${status.code}` : null,
    credential: { kind: 'account', account: protoPayload.authenticationInfo.principalEmail },
  };
}

function parse(base64: string): unknown {
  try {
    return JSON.parse(Buffer.from(base64, 'base64').toString('utf8'));
  } catch {
    return null;
  }
}
