import { z } from 'zod';
import { githubRules } from './github-rules.ts';
import { presetKind, presetShape } from './preset.ts';

const settings = z.strictObject({
  type: z.literal('github'),
  ...presetShape,
  enterprise: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9-]*$/)
    .optional()
    .describe('Slug of the enterprise, where it has switched to an issuer of its own.'),
});

/** GitHub Actions on github.com: https://docs.github.com/en/actions/reference/security/oidc */
export const attestorKind = presetKind({
  type: 'github',
  settings,
  algorithms: ['RS256'],
  requiredClaims: ['repository_id', 'repository_owner_id', 'event_name'],
  rules: githubRules,
  issuer: ({ enterprise }) =>
    `https://token.actions.githubusercontent.com${enterprise === undefined ? '' : `/${enterprise}`}`,
});
