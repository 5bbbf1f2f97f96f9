import { z } from 'zod';
import { presetKind, presetShape, serverUrl } from './preset.ts';

const settings = z.strictObject({
  type: z.literal('terraform-cloud'),
  ...presetShape,
  server_url: serverUrl
    .default('https://app.terraform.io')
    .describe('Address of the HCP Terraform or Terraform Enterprise that signs.'),
});

/** Terraform runs: https://developer.hashicorp.com/terraform/cloud-docs/workspaces/dynamic-provider-credentials/workload-identity-tokens */
export const attestorKind = presetKind({
  type: 'terraform-cloud',
  settings,
  algorithms: ['RS256'],
  requiredClaims: ['terraform_organization_id', 'terraform_workspace_id', 'terraform_run_phase'],
  rules: {
    pins: [
      {
        anyOf: [['terraform_workspace_id'], ['terraform_project_id']],
        because: 'all customers have this one issuer, and names are given to others once they are free',
      },
      {
        anyOf: [['terraform_run_phase']],
        form: { claim: 'sub', pattern: /:run_phase:(?:plan|apply)$/ },
        because: 'a plan runs what a pull request proposes, before anybody has read it',
      },
    ],
    beside: [
      {
        claim: 'terraform_organization_name',
        needs: ['terraform_organization_id', 'terraform_workspace_id', 'terraform_project_id'],
        because: 'a name can be taken by another organisation',
      },
    ],
    never: [],
    forms: [],
    unreliable: {},
    strings: ['terraform_workspace_id', 'terraform_project_id', 'terraform_organization_id'],
  },
  issuer: ({ server_url }) => server_url,
});
