import { z } from 'zod';
import type { TrailUse } from './trail.ts';

/**
 * A CloudTrail event, as EventBridge delivers it.
 * https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
 */
const record = z.object({
  eventID: z.string().min(1).max(200),
  eventTime: z.iso.datetime(),
  eventSource: z.string().max(200),
  eventName: z.string().max(200),
  sourceIPAddress: z.string().max(300).optional(),
  userAgent: z.string().optional(),
  errorCode: z.string().max(200).optional(),
  userIdentity: z.object({
    type: z.literal('AssumedRole'),
    arn: z.string().max(2048),
    sessionContext: z
      .object({
        sourceIdentity: z.string().max(64).optional(),
        sessionIssuer: z.object({ arn: z.string().max(2048) }).optional(),
      })
      .optional(),
  }),
});

const delivered = z.object({ detail: record });

/** The use of a session of a role; null for anything else that a trail holds. */
export function readCloudTrail(body: unknown): TrailUse | null {
  const read = delivered.safeParse(body);
  if (!read.success) return null;
  const { detail } = read.data;
  const { arn, sessionContext } = detail.userIdentity;
  return {
    event: detail.eventID,
    at: Date.parse(detail.eventTime),
    action: `${detail.eventSource} ${detail.eventName}`,
    address: detail.sourceIPAddress ?? null,
    application: detail.userAgent ?? null,
    error: detail.errorCode ?? null,
    credential: {
      kind: 'session',
      sourceIdentity: sessionContext?.sourceIdentity ?? null,
      // arn:aws:sts::123456789012:assumed-role/ROLE/SESSION
      session: /:assumed-role\/[^/]+\/([^/]+)$/.exec(arn)?.[1] ?? null,
      roleArn: sessionContext?.sessionIssuer?.arn ?? null,
    },
  };
}
