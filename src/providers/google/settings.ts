import { z } from 'zod';
import { MAX_BOUNDARY_RULES, MAX_DELEGATES, MAX_SCOPES } from './limits.ts';

const loopback = z.url({ protocol: /^https?$/, hostname: /^(?:127\.0\.0\.1|localhost)$/ });

/** A Google Cloud target in the configuration. */
export const settingsSchema = z.strictObject({
  workload_identity_provider: z
    .string()
    .regex(
      /^projects\/[0-9]+\/locations\/global\/workloadIdentityPools\/[a-z0-9-]{4,32}\/providers\/[a-z0-9-]{4,32}$/,
      'must be projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER',
    )
    .describe('The provider of the workload identity pool that trusts the broker as an issuer'),
  project: z
    .string()
    .regex(/^[a-z0-9:.-]{1,100}$/)
    .optional()
    .describe('Told to the holder as the project to work in'),
  extended_lifetime: z
    .literal(true)
    .optional()
    .describe('Access tokens for up to 12 hours: the organisation policy must allow it for the account'),
  universe_domain: z
    .string()
    .regex(/^[a-z0-9.-]{1,253}$/)
    .default('googleapis.com')
    .describe('Of another universe than the public one'),
  insecure_endpoints: z
    .strictObject({ sts: loopback, iam_credentials: loopback })
    .optional()
    .describe('Stand-ins on loopback in place of Google, for tests'),
});

export type GoogleSettings = z.infer<typeof settingsSchema>;

const account = z
  .string()
  .regex(
    /^(?:[a-z0-9-]{6,63}@[a-z0-9.-]{1,100}\.iam\.gserviceaccount\.com|[0-9]+-compute@developer\.gserviceaccount\.com|[0-9]{10,30})$/,
    'must be the e-mail address or the unique id of a service account',
  );

const boundaryRule = z.strictObject({
  resource: z
    .string()
    .regex(
      /^\/\/storage\.googleapis\.com\/projects\/_\/buckets\/[a-z0-9._-]{3,222}$/,
      'must be //storage.googleapis.com/projects/_/buckets/BUCKET: boundaries cover Cloud Storage only',
    ),
  permissions: z
    .array(z.string().regex(/^inRole:[A-Za-z0-9_./-]{1,200}$/, 'must be inRole: and a role'))
    .min(1)
    .max(20),
  condition: z
    .strictObject({ expression: z.string().min(1).max(2_000), title: z.string().max(100).optional() })
    .optional(),
});

/** What a grant asks of Google Cloud. */
export const scopeSchema = z
  .strictObject({
    service_account: account,
    scopes: z
      .array(
        z
          .string()
          .regex(/^https:\/\/www\.googleapis\.com\/auth\/[a-z0-9._/-]{1,100}$/, 'must be an OAuth scope'),
      )
      .min(1)
      .max(MAX_SCOPES)
      .optional()
      .describe('For an access token'),
    id_token: z
      .strictObject({ audience: z.string().min(1).max(1_000), include_email: z.boolean().default(false) })
      .optional()
      .describe('For an ID token, in place of an access token'),
    delegates: z
      .array(account)
      .max(MAX_DELEGATES)
      .default([])
      .describe('Service accounts in between, each of which may make tokens for the next'),
    boundary: z
      .array(boundaryRule)
      .min(1)
      .max(MAX_BOUNDARY_RULES)
      .optional()
      .describe(
        'A Credential Access Boundary: what the token can do in Cloud Storage, and nothing elsewhere',
      ),
  })
  .superRefine(({ scopes, id_token: idToken, boundary }, context) => {
    if ((scopes === undefined) === (idToken === undefined))
      context.addIssue({ code: 'custom', path: ['scopes'], message: 'write either scopes or id_token' });
    if (boundary !== undefined && scopes === undefined)
      context.addIssue({ code: 'custom', path: ['boundary'], message: 'is for access tokens: write scopes' });
  });

export type GoogleScope = z.infer<typeof scopeSchema>;
