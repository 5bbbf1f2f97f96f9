import { z } from 'zod';
import { presetKind, presetShape, serverUrl } from './preset.ts';

const settings = z.strictObject({
  type: z.literal('gitlab'),
  ...presetShape,
  server_url: serverUrl.default('https://gitlab.com').describe('Address of the GitLab that signs.'),
});

/** GitLab CI id tokens: https://docs.gitlab.com/ci/secrets/id_token_authentication/ */
export const attestorKind = presetKind({
  type: 'gitlab',
  settings,
  algorithms: ['RS256'],
  requiredClaims: ['project_id', 'namespace_id', 'ref_protected'],
  rules: {
    pins: [
      {
        anyOf: [['project_id'], ['namespace_id', 'ci_config_ref_uri']],
        because: 'paths are given to others once they are free, and a group can make any number of projects',
      },
      {
        anyOf: [['ref_protected'], ['environment_protected'], ['pipeline_source']],
        because: 'a merge request, also from a fork, runs what its author wrote',
      },
    ],
    beside: [
      { claim: 'project_path', needs: ['project_id'], because: 'a path can be taken by another project' },
      { claim: 'namespace_path', needs: ['namespace_id'], because: 'a path can be taken by another group' },
      { claim: 'user_login', needs: ['user_id'], because: 'a login can be taken by somebody else' },
      { claim: 'ref', needs: ['ref_type'], because: 'a tag can have the name of a branch' },
      {
        claim: 'environment',
        needs: ['environment_protected', 'ref_protected'],
        because: 'whoever can push can name an environment',
      },
    ],
    never: [
      { claim: 'ref_protected', values: ['false'], because: 'anybody who can push makes such a ref' },
      { claim: 'environment_protected', values: ['false'], because: 'anybody who can push deploys there' },
    ],
    forms: [
      {
        claim: 'ci_config_ref_uri',
        pattern: /^[^/]+\/.+\/\/[^@]+@refs\//,
        because:
          'a pipeline is only what it was reviewed to be at a ref; write HOST/GROUP/PROJECT//FILE@refs/heads/BRANCH',
      },
    ],
    unreliable: { user_email: 'its owner changes it; write user_id' },
    strings: [
      'project_id',
      'namespace_id',
      'user_id',
      'pipeline_id',
      'job_id',
      'runner_id',
      'ref_protected',
      'environment_protected',
    ],
  },
  issuer: ({ server_url }) => server_url,
});
