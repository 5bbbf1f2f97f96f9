import { z } from 'zod';
import { roleArn } from './arn.ts';
import { DEFAULT_MAX_DENIALS, MAX_DENIAL_ROLES, PROPAGATION_SECONDS } from './limits.ts';

const region = z.string().regex(/^[a-z]{2}(-[a-z]+)+-\d$/, 'must be a region such as eu-central-1');
const url = z.url({ protocol: /^https?$/ });

/** Where the broker's own rights at AWS come from. */
const credentials = z.discriminatedUnion('source', [
  z.strictObject({
    source: z.literal('web_identity').describe('Tokens that this broker signs: no AWS key is kept anywhere'),
    audience: z
      .string()
      .min(1)
      .max(255)
      .default('sts.amazonaws.com')
      .describe('As the identity provider in IAM lists it'),
  }),
  z.strictObject({
    source: z.literal('instance').describe("The SDK's default chain: the instance, the pod, the container"),
  }),
  z.strictObject({
    source: z.literal('static').describe('A long-lived key: an exception, where nothing else can be had'),
    access_key_id: z.string().min(16).max(128).describe('As `_env` or `_file` where it is not to be seen'),
    secret_access_key: z.string().min(16).max(256).meta({ secret: true }),
    session_token: z.string().min(1).max(16_384).optional().meta({ secret: true }),
  }),
]);

const denial = z.strictObject({
  roles: z
    .array(roleArn)
    .min(1)
    .max(MAX_DENIAL_ROLES)
    .describe('The roles whose sessions may be denied; grants may name no other'),
  via_role_arn: roleArn
    .optional()
    .describe('A role to assume for it, with the rights to write inline policies on `roles`'),
  max_denials: z
    .int()
    .min(1)
    .max(70)
    .default(DEFAULT_MAX_DENIALS)
    .describe('Denials that one role bears at once'),
  propagation_seconds: z
    .int()
    .min(0)
    .max(3_600)
    .default(PROPAGATION_SECONDS)
    .describe('How long a denial takes to be in force everywhere; the lease has ended then'),
  when_full: z
    .enum(['fail', 'deny_all_sessions'])
    .default('fail')
    .describe(
      '`fail`: the ending fails, is alarmed and tried again; `deny_all_sessions`: every session of the role that began before now is denied, other tasks’ too',
    ),
});

/** An AWS account, or several, in the configuration. */
export const settingsSchema = z
  .strictObject({
    region: region.describe('Whose STS is asked, and what the secret names by default'),
    credentials: credentials.prefault({ source: 'instance' }),
    role_chaining: z
      .boolean()
      .optional()
      .describe(
        "Whether the broker's own credentials are a role's session, so that its sessions last an hour at most; default: with `instance`",
      ),
    context_tags: z
      .array(z.enum(['task', 'grant', 'subject']))
      .max(3)
      .default(['task', 'grant', 'subject'])
      .describe('Session tags `hallpass:...` that say whom a session is for; they need sts:TagSession'),
    without_source_identity: z
      .literal(true)
      .optional()
      .describe('Set no source identity, for trust policies that do not allow sts:SetSourceIdentity'),
    denial: denial.optional().describe('End sessions before their time, by a policy on their role'),
    insecure_endpoints: z
      .strictObject({ sts: url.optional(), iam: url.optional(), signin: url.optional() })
      .optional()
      .describe('Other addresses than those of AWS: whoever is there gets everything. For tests'),
  })
  .superRefine(({ credentials: { source }, denial, role_chaining }, context) => {
    const fault = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    if (source === 'web_identity' && denial && denial.via_role_arn === undefined)
      fault(
        ['denial', 'via_role_arn'],
        'is needed with web_identity: name a role that may write the denials',
      );
    if (source === 'web_identity' && role_chaining)
      fault(['role_chaining'], 'contradicts web_identity, which assumes each role directly: remove it');
  });

export type AwsSettings = z.infer<typeof settingsSchema>;
export type Denial = z.infer<typeof denial>;

/** Whether sessions are those of a role that a role assumed. An instance has the session of its own role. */
export function isChained(settings: AwsSettings): boolean {
  return settings.role_chaining ?? settings.credentials.source === 'instance';
}

export function cautions({ credentials, insecure_endpoints, denial }: AwsSettings): string[] {
  return [
    ...(credentials.source === 'static' && credentials.session_token === undefined
      ? [
          'credentials: a long-lived key: whoever copies it is this broker until it is replaced; web_identity and instance need none',
        ]
      : []),
    ...(insecure_endpoints
      ? ['insecure_endpoints: whoever is there gets everything that AWS would: for tests only']
      : []),
    ...(denial?.when_full === 'deny_all_sessions'
      ? ["denial.when_full: a full role denies every task's sessions that are under way, not one's"]
      : []),
  ];
}
