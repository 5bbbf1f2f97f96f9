import { z } from 'zod';
import { presetKind, presetShape, uuid } from './preset.ts';

const settings = z.strictObject({
  type: z.literal('azure'),
  ...presetShape,
  tenant_id: uuid.describe('Id of the tenant whose identities are trusted.'),
  token_version: z
    .union([z.literal(1), z.literal(2)])
    .default(1)
    .describe('Version of the tokens, as the manifest of the application that is the audience says.'),
});

/** Tokens of Azure managed identities: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference */
export const attestorKind = presetKind({
  type: 'azure',
  settings,
  algorithms: ['RS256'],
  people: true,
  requiredClaims: ['tid', 'oid'],
  rules: {
    pins: [
      {
        anyOf: [['oid'], ['sub']],
        because: 'every identity of the tenant can ask for such a token, those of guests among them',
      },
    ],
    beside: [
      {
        claim: 'xms_mirid',
        needs: ['oid', 'sub'],
        because: 'a managed identity that is made again has the same path and is another',
      },
    ],
    never: [],
    forms: [],
    unreliable: {
      upn: 'its owner or an administrator changes it; write oid',
      email: 'its owner or an administrator changes it; write oid',
      preferred_username: 'its owner or an administrator changes it; write oid',
      unique_name: 'its owner or an administrator changes it; write oid',
    },
    strings: [],
  },
  issuer: ({ tenant_id, token_version }) =>
    token_version === 1
      ? `https://sts.windows.net/${tenant_id}/`
      : `https://login.microsoftonline.com/${tenant_id}/v2.0`,
  keysUri: ({ tenant_id, token_version }) =>
    `https://login.microsoftonline.com/${tenant_id}/discovery/${token_version === 1 ? '' : 'v2.0/'}keys`,
});
