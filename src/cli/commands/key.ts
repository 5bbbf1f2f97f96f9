import { randomUUID } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose';
import { stringify } from 'yaml';
import { EXIT } from '../exit-codes.ts';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { say } from '../output.ts';

export interface NewKeyOptions {
  readonly out: string;
  readonly subject: string;
  readonly audience?: string;
  readonly owner: string;
  readonly expires: string;
}

export interface SignOptions {
  readonly key: string;
  readonly audience?: string;
  readonly subject?: string;
  readonly lifetime: number;
}

/** What is in the file of a private key. It never leaves the workload's machine. */
interface KeyFile {
  readonly subject: string;
  readonly key: JWK;
}

const ALGORITHM = 'ES256';

/** The longest life that a broker accepts of an assertion. */
const LIFETIME_MAX_SECONDS = 300;

/** Makes a key pair: the private key into a file of its owner's alone, the issuer's entry on standard output. */
export async function newKey(io: Io, options: NewKeyOptions): Promise<number> {
  const { out, subject, owner, expires } = options;
  if (!/^\d{4}-\d{2}-\d{2}$/.test(expires) || Number.isNaN(Date.parse(expires)))
    throw new UsageError('Cannot read --expires: write a day, for instance 2030-01-31');
  if (Date.parse(expires) <= io.runtime.now())
    throw new UsageError(`Cannot make a key that is refused from the start: ${expires} is past`);
  const audience = audienceOf(io, options.audience);
  const { privateKey, publicKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  const publicJwk = await exportJWK(publicKey);
  const marks = { kid: await calculateJwkThumbprint(publicJwk), alg: ALGORITHM, use: 'sig' };
  const file: KeyFile = { subject, key: { ...(await exportJWK(privateKey)), ...marks } };
  await writeNew(out, `${JSON.stringify(file, null, 2)}\n`);
  const entry = {
    type: 'keys',
    audience,
    subjects: [subject],
    owner,
    expires,
    jwks: { keys: [{ ...publicJwk, ...marks }] },
  };
  io.out(stringify({ issuers: { [entryName(subject)]: entry } }));
  say(io, `The private key is in ${out}: it stays on the machine of the workload, readable by it alone`);
  return EXIT.done;
}

/** Prints a short assertion that the holder of the key makes about itself (RFC 7523, section 3). */
export async function signAssertion(io: Io, options: SignOptions): Promise<number> {
  if (options.lifetime > LIFETIME_MAX_SECONDS)
    throw new UsageError(`Cannot sign for so long: a broker accepts at most ${LIFETIME_MAX_SECONDS} seconds`);
  const file = await readKeyFile(options.key);
  const subject = options.subject ?? file.subject;
  const issuedAt = Math.floor(io.runtime.now() / 1000);
  const assertion = await new SignJWT({})
    .setProtectedHeader({
      alg: file.key.alg ?? ALGORITHM,
      typ: 'JWT',
      ...(file.key.kid && { kid: file.key.kid }),
    })
    .setIssuer(subject)
    .setSubject(subject)
    .setAudience(audienceOf(io, options.audience))
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + options.lifetime)
    .setJti(randomUUID())
    .sign(await importJWK(file.key, file.key.alg ?? ALGORITHM));
  io.out(`${assertion}\n`);
  return EXIT.done;
}

function audienceOf(io: Io, given: string | undefined): string {
  const audience = given ?? io.env.HALLPASS_URL;
  if (!audience)
    throw new UsageError('Cannot tell for whom: give --audience, the broker.url, or set HALLPASS_URL');
  return audience;
}

/** Never over a file that is there: it could be the key of something that runs. */
async function writeNew(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw new UsageError(`Cannot write ${JSON.stringify(path)}: ${(error as NodeJS.ErrnoException).code}`);
  }
}

async function readKeyFile(path: string): Promise<KeyFile> {
  let text: string;
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0)
      throw new UsageError(
        `Cannot use ${JSON.stringify(path)}: others on this machine may read it; chmod 0600`,
      );
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`Cannot read ${JSON.stringify(path)}: ${(error as NodeJS.ErrnoException).code}`);
  }
  try {
    const file = JSON.parse(text) as Partial<KeyFile>;
    if (typeof file.subject === 'string' && typeof file.key?.d === 'string') return file as KeyFile;
  } catch {
    // What is in the file stays unsaid.
  }
  throw new UsageError(`Cannot use ${JSON.stringify(path)}: it is not a file of "hallpass key new"`);
}

/** A name for the entry, from that of the workload. */
function entryName(subject: string): string {
  const name = subject
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  return name === '' ? 'workload' : name.slice(0, 60);
}
