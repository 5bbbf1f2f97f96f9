import { z } from 'zod';
import { presetKind, presetShape } from './preset.ts';

const settings = z.strictObject({ type: z.literal('buildkite'), ...presetShape });

/** Buildkite job tokens, with the ids that a job must ask for: https://buildkite.com/docs/agent/cli/reference/oidc */
export const attestorKind = presetKind({
  type: 'buildkite',
  settings,
  algorithms: ['RS256'],
  requiredClaims: ['organization_id', 'pipeline_id'],
  rules: {
    pins: [
      {
        anyOf: [['organization_id']],
        because: 'all customers have this one issuer, and an organisation of any name',
      },
      { anyOf: [['pipeline_id']], because: 'a slug is given to other pipelines once it is free' },
    ],
    beside: [],
    never: [],
    forms: [],
    unreliable: {},
    strings: ['organization_id', 'pipeline_id', 'build_number'],
  },
  issuer: () => 'https://agent.buildkite.com',
});
