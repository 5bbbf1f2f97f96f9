import { z } from 'zod';
import { ok } from '../../result.ts';
import type { AttestorKind } from '../attestor.ts';
import { CLOCK_TOLERANCE_SECONDS_MAX, DEFAULT_CLOCK_TOLERANCE_SECONDS } from '../jwt/limits.ts';
import { httpUrlFault } from '../jwt/urls.ts';
import { type AwsSettings, createAwsAttestor } from './attestor.ts';
import { DEFAULT_MAX_AGE_SECONDS, MAX_AGE_SECONDS_MAX } from './limits.ts';

const REGIONS_MAX = 40;
const ACCOUNTS_MAX = 1_000;

const settings = z
  .strictObject({
    type: z.literal('aws'),
    audience: z
      .string()
      .regex(/^[\x21-\x7e]{1,512}$/)
      .describe(
        'What requests must name in their signed header x-hallpass-audience: a name of this broker alone.',
      ),
    regions: z
      .array(
        z.string().regex(/^[a-z]{2}(?:-[a-z]+){1,3}-\d{1,2}$/, {
          error: 'Expected a region, for instance eu-west-1',
        }),
      )
      .min(1)
      .max(REGIONS_MAX)
      .optional()
      .describe('Regions whose STS is asked. Requests that are signed for others are not looked at.'),
    endpoint: z
      .url()
      .max(2_048)
      .optional()
      .describe(
        'Ask this one address instead: an interface endpoint of a private network, or a test server.',
      ),
    accounts: z
      .array(z.string().regex(/^\d{12}$/, { error: 'Expected an account of 12 digits, in quotes' }))
      .min(1)
      .max(ACCOUNTS_MAX)
      .optional()
      .describe(
        'Accounts whose identities are known; without it those of any account, for grants to tell apart.',
      ),
    max_age_seconds: z
      .int()
      .min(30)
      .max(MAX_AGE_SECONDS_MAX)
      .default(DEFAULT_MAX_AGE_SECONDS)
      .describe('How long after it was signed a request is accepted.'),
    clock_tolerance_seconds: z
      .int()
      .min(0)
      .max(CLOCK_TOLERANCE_SECONDS_MAX)
      .default(DEFAULT_CLOCK_TOLERANCE_SECONDS)
      .describe("How far the caller's clock and ours may differ."),
    allow_insecure_http: z
      .boolean()
      .default(false)
      .describe('Accept an http endpoint, of a loopback host only. For tests and demonstrations.'),
  })
  .superRefine(({ regions, endpoint, allow_insecure_http }, context) => {
    const report = (key: string, message: string | null): void => {
      if (message) context.addIssue({ code: 'custom', path: [key], message });
    };
    if ((regions === undefined) === (endpoint === undefined))
      report('regions', 'Write where to ask, once: regions, or an endpoint');
    if (endpoint !== undefined) report('endpoint', httpUrlFault(endpoint, allow_insecure_http));
  });

/** Whoever can sign for AWS, by a signed GetCallerIdentity request that STS itself checks. */
export const attestorKind: AttestorKind<z.output<typeof settings>, AwsSettings> = {
  type: 'aws',
  settings,
  fileSettings: [],
  resolve: (written) =>
    ok({
      audience: written.audience,
      endpoints:
        written.endpoint === undefined
          ? new Map((written.regions ?? []).map((region) => [`https://${stsHost(region)}/`, region]))
          : new Map([[`${written.endpoint.replace(/\/+$/, '')}/`, null]]),
      accounts: written.accounts ?? null,
      maxAgeSeconds: written.max_age_seconds,
      clockToleranceSeconds: written.clock_tolerance_seconds,
    }),
  describe: ({ endpoints }) => ({
    names: [...endpoints.keys()],
    rules: {
      pins: [
        {
          anyOf: [['unique_id'], ['account', 'role'], ['account', 'user'], ['sub']],
          form: { claim: 'sub', pattern: /^arn:aws[a-z-]*:sts::\d{12}:assumed-role\/[^/]+\// },
          because: 'everybody with any AWS account has such an identity',
        },
      ],
      beside: [],
      never: [{ claim: 'type', values: ['root'], because: 'the root user of an account is no workload' }],
      forms: [],
      unreliable: { session: 'whoever assumes the role chooses it; write role, or unique_id' },
      strings: ['account', 'unique_id', 'sub'],
    },
  }),
  create: createAwsAttestor,
};

/** https://docs.aws.amazon.com/general/latest/gr/sts.html */
function stsHost(region: string): string {
  return `sts.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
}
