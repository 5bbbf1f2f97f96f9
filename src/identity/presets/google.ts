import { z } from 'zod';
import { presetKind, presetShape } from './preset.ts';

const settings = z.strictObject({ type: z.literal('google'), ...presetShape });

/** Identity tokens of Google's metadata servers: https://cloud.google.com/compute/docs/instances/verifying-instance-identity */
export const attestorKind = presetKind({
  type: 'google',
  settings,
  algorithms: ['RS256'],
  people: true,
  requiredClaims: [],
  rules: {
    pins: [
      {
        anyOf: [['sub'], ['google/compute_engine/instance_id']],
        because:
          'all of Google has this one issuer, and whoever may make a machine in a project has its claims',
      },
    ],
    beside: [
      { claim: 'email', needs: ['sub'], because: 'an address can be given to another account' },
      {
        claim: 'google/compute_engine/instance_name',
        needs: ['google/compute_engine/instance_id', 'sub'],
        because: 'a name can be given to another machine',
      },
    ],
    never: [{ claim: 'email_verified', values: [false], because: "such an address is anybody's" }],
    forms: [],
    unreliable: {},
    strings: ['sub', 'google/compute_engine/instance_id'],
  },
  issuer: () => 'https://accounts.google.com',
  keysUri: () => 'https://www.googleapis.com/oauth2/v3/certs',
});
