import { z } from 'zod';
import { presetKind, presetShape, uuid } from './preset.ts';

const settings = z
  .strictObject({
    type: z.literal('bitbucket'),
    ...presetShape,
    audience: presetShape.audience.optional(),
    workspace: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/)
      .describe("Name of the workspace, as in its repositories' addresses."),
    workspace_uuid: uuid.describe('Its UUID, without braces: the usual audience names it.'),
  })
  .transform((written) => ({
    ...written,
    audience: written.audience ?? `ari:cloud:bitbucket::workspace/${written.workspace_uuid}`,
  }));

/** Bitbucket Pipelines: https://support.atlassian.com/bitbucket-cloud/docs/integrate-pipelines-with-resource-servers-using-oidc/ */
export const attestorKind = presetKind({
  type: 'bitbucket',
  settings,
  algorithms: ['RS256'],
  requiredClaims: ['repositoryUuid', 'workspaceUuid'],
  rules: {
    pins: [
      { anyOf: [['repositoryUuid']], because: 'every repository of the workspace has this issuer' },
      {
        anyOf: [['branchName'], ['deploymentEnvironmentUuid']],
        because: 'every branch of the repository runs pipelines',
      },
    ],
    beside: [],
    never: [],
    forms: [],
    unreliable: {},
    strings: ['repositoryUuid', 'workspaceUuid', 'branchName'],
  },
  issuer: ({ workspace }) =>
    `https://api.bitbucket.org/2.0/workspaces/${workspace}/pipelines-config/identity/oidc`,
});
