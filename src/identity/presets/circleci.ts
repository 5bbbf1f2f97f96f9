import { z } from 'zod';
import { presetKind, presetShape, uuid } from './preset.ts';

const settings = z
  .strictObject({
    type: z.literal('circleci'),
    ...presetShape,
    audience: presetShape.audience.optional(),
    organization_id: uuid.describe('Id of the organisation: its part of the issuer, and the usual audience.'),
  })
  .transform((written) => ({ ...written, audience: written.audience ?? written.organization_id }));

/** CircleCI jobs, an issuer for each organisation: https://circleci.com/docs/guides/permissions-authentication/openid-connect-tokens/ */
export const attestorKind = presetKind({
  type: 'circleci',
  settings,
  algorithms: ['RS256'],
  requiredClaims: ['oidc.circleci.com/project-id'],
  rules: {
    pins: [
      {
        anyOf: [['oidc.circleci.com~1project-id']],
        because: 'every project of the organisation has this issuer',
      },
      {
        anyOf: [['oidc.circleci.com~1vcs-origin']],
        because: 'builds of forked pull requests run in the project too',
      },
      {
        anyOf: [['oidc.circleci.com~1ssh-rerun']],
        because: 'a rerun with SSH gives a person a shell with this token',
      },
    ],
    beside: [],
    never: [
      {
        claim: 'oidc.circleci.com~1ssh-rerun',
        values: [true, 'true', 'false'],
        because: 'it is a boolean, and true is a person with a shell; write false without quotes',
      },
    ],
    forms: [],
    unreliable: {},
    strings: ['oidc.circleci.com~1project-id', 'oidc.circleci.com~1vcs-origin'],
  },
  issuer: ({ organization_id }) => `https://oidc.circleci.com/org/${organization_id}`,
});
