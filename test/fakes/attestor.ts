import { z } from 'zod';
import type { AttestorKind } from '../../src/identity/attestor.ts';
import { err, ok } from '../../src/result.ts';

const tokenSettings = z.strictObject({
  type: z.literal('token'),
  issuer: z.url(),
  audience: z.string().min(1),
  jwks_file: z.string().optional(),
  client_secret: z.string().min(8).optional(),
});
type Written = z.output<typeof tokenSettings>;

/** A kind of issuer as a configuration sees it: settings, a file, a secret. Its attestor knows nobody. */
export const fakeAttestorKind: AttestorKind<Written, Written & { readonly jwks: string | null }> = {
  type: 'token',
  settings: tokenSettings,
  fileSettings: ['jwks_file'],
  resolve: (written, { jwks_file: jwks = null }) =>
    jwks === null || jwks.startsWith('{')
      ? ok({ ...written, jwks })
      : err([{ setting: 'jwks_file', message: 'Cannot use the file: write a JWK Set' }]),
  describe: ({ issuer }) => ({ url: issuer, names: [issuer] }),
  create: (name) => ({ issuer: name, attest: async () => null }),
};
