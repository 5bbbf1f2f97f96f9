import { z } from 'zod';
import { roleArn } from './arn.ts';
import {
  LONGEST_SESSION_SECONDS,
  MAX_POLICY_ARNS,
  MAX_SESSION_TAGS,
  MAX_STATEMENTS,
  MAX_TAG_KEY_CHARS,
  MAX_TAG_VALUE_CHARS,
  SHORTEST_SESSION_SECONDS,
} from './limits.ts';

const texts = z.union([z.string().min(1).max(2048), z.array(z.string().min(1).max(2048)).min(1).max(100)]);

const statement = z
  .strictObject({
    Sid: z
      .string()
      .regex(/^[A-Za-z0-9]{0,100}$/, 'may hold letters and digits only')
      .optional(),
    Effect: z.enum(['Allow', 'Deny']),
    Action: texts.optional(),
    NotAction: texts.optional(),
    Resource: texts.optional(),
    NotResource: texts.optional(),
    Condition: z.record(z.string(), z.record(z.string(), texts)).optional(),
  })
  .superRefine((written, context) => {
    for (const [one, other] of [
      ['Action', 'NotAction'],
      ['Resource', 'NotResource'],
    ] as const) {
      if ((written[one] === undefined) === (written[other] === undefined))
        context.addIssue({ code: 'custom', path: [one], message: `write ${one} or ${other}, one of them` });
    }
  });

export type Statement = z.infer<typeof statement>;

const statements = z.array(statement).min(1).max(MAX_STATEMENTS);

/** What a tag may hold (STS API reference, `Tag`). */
const TAG_TEXT = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;
const tagKey = z
  .string()
  .min(1)
  .max(MAX_TAG_KEY_CHARS)
  .regex(TAG_TEXT, 'holds a character that tags may not');

export function fitsTag(value: string): boolean {
  return value.length <= MAX_TAG_VALUE_CHARS && TAG_TEXT.test(value);
}

/** What a grant asks of AWS: a role, narrowed. */
export const scopeSchema = z
  .strictObject({
    role_arn: roleArn.describe('The role to assume'),
    session_policy: z
      .union([
        statements,
        z.strictObject({
          Version: z.literal('2012-10-17').optional(),
          Statement: z.union([statements, statement]),
        }),
      ])
      .optional()
      .describe('A policy that narrows the session: a list of statements, or a document'),
    policy_arns: z
      .array(
        z
          .string()
          .regex(/^arn:aws[a-z-]*:iam::(\d{12}|aws):policy\/[\x21-\x7e]+$/, 'must be the ARN of a policy'),
      )
      .max(MAX_POLICY_ARNS)
      .default([])
      .describe('Managed policies that narrow it; what any of them, or `session_policy`, allows, it may do'),
    tags: z
      .record(
        tagKey,
        z.string().max(MAX_TAG_VALUE_CHARS).regex(TAG_TEXT, 'holds a character that tags may not'),
      )
      .default({})
      .describe('Session tags, for policies that look at aws:PrincipalTag'),
    transitive_tags: z
      .array(z.string())
      .max(MAX_SESSION_TAGS)
      .default([])
      .describe('Tags that stay when the session assumes another role'),
    duration_seconds: z
      .int()
      .min(SHORTEST_SESSION_SECONDS)
      .max(LONGEST_SESSION_SECONDS)
      .optional()
      .describe("The session's longest duration, where the role allows less than the lease's TTL"),
    external_id: z
      .string()
      .regex(/^[\w+=,.@:/-]{2,1224}$/, 'must be 2 to 1224 characters of letters, digits and _+=,.@:/-')
      .optional()
      .describe("What the role's trust policy asks of others than its owner"),
    region: z
      .string()
      .regex(/^[a-z]{2}(-[a-z]+)+-\d$/, 'must be a region such as eu-central-1')
      .optional()
      .describe("The region in the secret; default: the target's"),
    console: z
      .strictObject({
        destination: z
          .string()
          .regex(
            /^https:\/\/([a-z0-9-]+\.)*console\.(aws\.amazon\.com|amazonaws\.cn|amazonaws-us-gov\.com)\//,
            'must be a page of the AWS console',
          )
          .optional()
          .describe('The page that it opens; default: the home page'),
      })
      .optional()
      .describe('Add `console_url` to the secret: a link that signs a person in to the console'),
  })
  .superRefine((scope, context) => {
    const fault = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message });
    if (Object.keys(scope.tags).length > MAX_SESSION_TAGS - 3)
      fault('tags', `has more than ${MAX_SESSION_TAGS - 3} entries: three are the broker's own`);
    const keys = Object.keys(scope.tags).map((key) => key.toLowerCase());
    if (new Set(keys).size < keys.length)
      fault('tags', 'has keys that differ in case only: AWS takes them as one');
    if (keys.some((key) => key.startsWith('hallpass:') || key.startsWith('aws:')))
      fault('tags', 'has a key that begins with hallpass: or aws:, which are not yours to set');
    const unknown = scope.transitive_tags.find((key) => !Object.hasOwn(scope.tags, key));
    if (unknown !== undefined)
      fault('transitive_tags', `names ${JSON.stringify(unknown)}, which tags does not`);
  });

export type AwsScope = z.infer<typeof scopeSchema>;
