import { z } from 'zod';
import { MAX_SCOPE_BYTES } from './limits.ts';

const pem = z.string().regex(/-----BEGIN [A-Z ]+-----/, 'must be PEM text');

/** A service that makes and ends credentials by the protocol of README.md. */
export const settingsSchema = z
  .strictObject({
    url: z
      .url({ protocol: /^https?$/ })
      .refine((url) => !/[?#@]/.test(url), 'cannot have a user, a query or a fragment')
      .transform((url) => url.replace(/\/+$/, ''))
      .describe('Where the service is: `/mint`, `/end` and the others are below it'),
    audience: z
      .string()
      .min(1)
      .max(500)
      .optional()
      .describe("The audience of the broker's tokens; default: `url`"),
    ends: z
      .enum(['confirmed', 'expiry-only'])
      .default('confirmed')
      .describe('`confirmed`: the service ends credentials and says so. `expiry-only`: they lapse'),
    extend: z.literal(true).optional().describe('The service has `/extend`'),
    inventory: z.literal(true).optional().describe('The service has `/list`'),
    tls: z.strictObject({ ca: pem.optional().describe('Certificates that sign the server') }).prefault({}),
    insecure_plaintext: z
      .literal(true)
      .optional()
      .describe('No TLS: whoever is on the wire reads every secret. For loopback and tests'),
  })
  .superRefine(({ url, ends, extend, insecure_plaintext: plaintext }, context) => {
    const fault = (at: string, message: string) => context.addIssue({ code: 'custom', path: [at], message });
    const secure = url.startsWith('https:');
    if (secure && plaintext) fault('insecure_plaintext', 'contradicts an https url: remove it');
    if (!secure && !plaintext)
      fault('url', 'must begin with https://, or insecure_plaintext: true must stand beside it');
    if (ends === 'expiry-only' && extend) fault('extend', 'is for services that end credentials: remove it');
  });

export type HttpSettings = z.infer<typeof settingsSchema>;

/** Whatever the service understands. */
export const scopeSchema = z
  .record(z.string().regex(/^[a-z][a-z0-9_]{0,63}$/), z.json())
  .refine(
    (scope) => JSON.stringify(scope).length <= MAX_SCOPE_BYTES,
    `is larger than ${MAX_SCOPE_BYTES} bytes`,
  );

export type HttpScope = z.infer<typeof scopeSchema>;
