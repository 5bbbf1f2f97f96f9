import { z } from 'zod';
import { githubRules } from './github-rules.ts';
import { presetKind, presetShape, serverUrl } from './preset.ts';

const settings = z.strictObject({
  type: z.literal('github-enterprise'),
  ...presetShape,
  server_url: serverUrl.describe('Address of the server, for instance https://github.example.com.'),
});

/** GitHub Actions on an Enterprise Server: its subjects have no ids, so grants need `repository_id`. */
export const attestorKind = presetKind({
  type: 'github-enterprise',
  settings,
  algorithms: ['RS256'],
  requiredClaims: ['repository_id', 'repository_owner_id', 'event_name'],
  rules: githubRules,
  issuer: ({ server_url }) => `${server_url}/_services/token`,
});
