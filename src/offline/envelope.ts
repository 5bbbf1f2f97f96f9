import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import { combine, split } from 'shamir-secret-sharing';
import { z } from 'zod';
import { err, ok, type Result } from '../result.ts';
import { ID_PATTERN, type Runtime } from '../runtime.ts';
import { codeBytes, codeText } from './codes.ts';
import { HOLDERS_MAX, KIT_MAX_BYTES, THRESHOLD_MIN } from './limits.ts';

/**
 * A sealed kit as a file: a line that says what it is, a line of JSON that everybody may read, and a line that only k
 * codes open. The contents are encrypted with AES-256-GCM under a key that is kept nowhere: it is shared among the
 * codes (Shamir), and the two lines above are authenticated with the contents, so that no byte can be another.
 */
const MAGIC = 'hallpass-kit/1';

/** What everybody may read of a kit. What is done by it, is done once the codes have proven that it is what was sealed. */
export const kitHeader = z.strictObject({
  id: z.string().regex(ID_PATTERN),
  /** The broker that it stands in for, without a slash at the end. */
  url: z.url({ protocol: /^https?$/ }),
  /** PEM that signs that broker; null: what Node.js trusts. */
  ca: z.string().nullable(),
  grants: z.array(z.string()).min(1),
  expiresAt: z.int(),
  threshold: z.int().min(THRESHOLD_MIN).max(HOLDERS_MAX),
  /** Whose the codes are, and the SHA-256 of each: it tells a wrong code, and says nothing of a right one. */
  codes: z
    .array(z.strictObject({ holder: z.string(), sha256: z.string() }))
    .min(THRESHOLD_MIN)
    .max(HOLDERS_MAX),
  /** Where every copy on a machine keeps its state. Absolute. */
  stateDirectory: z.string().startsWith('/'),
});

export type KitHeader = z.output<typeof kitHeader>;

export interface SealedKit {
  readonly file: string;
  /** In the order of the holders. */
  readonly codes: readonly { readonly holder: string; readonly code: string }[];
}

/** Seals contents for these holders. */
export async function sealKit(
  runtime: Runtime,
  header: Omit<KitHeader, 'codes'> & { readonly holders: readonly string[] },
  contents: string,
): Promise<SealedKit> {
  const { holders, ...open } = header;
  const key = runtime.randomBytes(32);
  const shares = await split(Uint8Array.from(key), holders.length, header.threshold);
  const codes = holders.map((holder, i) => ({ holder, share: shares[i] ?? new Uint8Array() }));
  const told: KitHeader = {
    ...open,
    codes: codes.map(({ holder, share }) => ({ holder, sha256: hash(share) })),
  };
  const head = `${MAGIC}\n${JSON.stringify(told)}\n`;
  const nonce = runtime.randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(head));
  const sealed = Buffer.concat([nonce, cipher.update(contents, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  key.fill(0);
  return {
    file: `${head}${sealed.toString('base64url')}\n`,
    codes: codes.map(({ holder, share }) => ({ holder, code: codeText(share) })),
  };
}

/** A kit as it was read, not opened. */
export interface ReadKit {
  readonly header: KitHeader;
  readonly head: string;
  readonly sealed: Uint8Array;
}

export function readKitFile(file: string): Result<ReadKit, string> {
  if (file.length > KIT_MAX_BYTES * 2) return err('it is too large to be one');
  const [magic, json = '', body = '', end, ...rest] = file.split('\n');
  if (magic !== MAGIC || end !== '' || rest.length > 0) return err('it is no kit, or was altered');
  const sealed = Buffer.from(body, 'base64url');
  if (sealed.toString('base64url') !== body || sealed.length < 12 + 16) return err('it was altered');
  const header = kitHeader.safeParse(parsed(json));
  if (!header.success || header.data.threshold > header.data.codes.length) return err('it was altered');
  return ok({ header: header.data, head: `${MAGIC}\n${json}\n`, sealed });
}

/** What is in a kit, and the numbers of the codes that opened it; or what is wrong with kit or codes. */
export async function openKit(
  { header, head, sealed }: ReadKit,
  texts: readonly string[],
): Promise<Result<{ readonly contents: string; readonly codes: readonly number[] }, string>> {
  const shares = new Map<number, Uint8Array>();
  for (const [i, text] of texts.entries()) {
    const share = codeBytes(text);
    const code = share === null ? -1 : header.codes.findIndex(({ sha256 }) => sha256 === hash(share));
    if (share === null || code < 0) return err(`code ${i + 1} of those given is none of this kit`);
    if (shares.has(code)) return err(`code ${i + 1} of those given was given before`);
    shares.set(code, share);
  }
  if (shares.size < header.threshold)
    return err(`it takes ${header.threshold} codes, and ${shares.size} were given`);
  try {
    const key = await combine([...shares.values()]);
    const cut = sealed.length - 16;
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12))
      .setAAD(Buffer.from(head))
      .setAuthTag(sealed.subarray(cut));
    const contents = Buffer.concat([decipher.update(sealed.subarray(12, cut)), decipher.final()]);
    key.fill(0);
    return ok({ contents: contents.toString('utf8'), codes: [...shares.keys()].sort((a, b) => a - b) });
  } catch {
    return err('it is not as it was sealed');
  }
}

function hash(share: Uint8Array): string {
  return createHash('sha256').update('hallpass-kit-code\0').update(share).digest('base64url');
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
