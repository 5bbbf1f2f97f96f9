import { z } from 'zod';
import { presetKind, presetShape } from './preset.ts';

const settings = z.strictObject({
  type: z.literal('aws-web-identity'),
  ...presetShape,
  issuer: z
    .string()
    .regex(/^https:\/\/[0-9a-z-]{1,100}\.tokens\.sts\.global\.api\.aws$/, {
      error: 'Expected the issuer of the account, like https://ID.tokens.sts.global.api.aws',
    })
    .describe("The account's issuer: `aws iam get-outbound-web-identity-federation-info`."),
});

/** What AWS says of the session, under a claim that is named by an address. */
const SESSION = 'https:~1~1sts.amazonaws.com~1';

/** Tokens of sts:GetWebIdentityToken: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html */
export const attestorKind = presetKind({
  type: 'aws-web-identity',
  settings,
  algorithms: ['RS256', 'ES384'],
  requiredClaims: ['jti'],
  rules: {
    pins: [{ anyOf: [['sub']], because: 'every role of the account can ask for such a token' }],
    beside: [],
    never: [],
    forms: [],
    unreliable: {
      [`${SESSION}/request_tags`]: 'whoever asks for the token writes them; write principal_tags',
    },
    strings: [`${SESSION}/aws_account`],
  },
  issuer: ({ issuer }) => issuer,
});
