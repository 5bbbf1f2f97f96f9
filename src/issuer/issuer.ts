import type { CryptoKey, JWK } from 'jose';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose';
import { HallpassError } from '../errors.ts';
import type { Json } from '../json.ts';
import { newId, type Runtime } from '../runtime.ts';
import type { Database } from '../store/database.ts';
import {
  addSigningKey,
  dropSigningKeys,
  readSigningKeys,
  resealSigningKey,
  type SigningKeyRow,
} from '../store/signing-keys.ts';
import { CLOCK_MARGIN_SECONDS, MAX_TOKEN_SECONDS, RELOAD_MS, RSA_BITS } from './limits.ts';
import type { MasterKeys } from './master-keys.ts';
import {
  type DatedKey,
  missingAt,
  publishedAt,
  retiredAt,
  SIGNING_ALGORITHMS,
  type SigningAlgorithm,
  signerAt,
} from './rotation.ts';

export interface IssuerOptions {
  /** The broker's URL: the `iss` of its tokens, and where relying parties look for its keys. */
  readonly url: string;
  readonly algorithm: SigningAlgorithm;
  readonly rotateEveryMs: number;
  readonly masterKeys: MasterKeys;
  readonly database: Database;
  readonly runtime: Runtime;
  /** Told when the keys could not be read or renewed; those that are known go on serving. */
  readonly onError: (error: unknown) => void;
}

/** The broker as an OpenID Connect issuer of its own identity tokens: it needs no static key for those who trust it. */
export interface Issuer {
  readonly url: string;
  /** OpenID Connect Discovery 1.0, section 3. */
  discovery(): Json;
  /** RFC 7517 section 5: what signs now, what will, and what did lately. */
  jwks(): Json;
  /** A signed token that states who this broker is. Throws RangeError for claims or a lifetime that it does not give. */
  identityToken(token: IdentityToken): Promise<string>;
  /** A signed security event token (RFC 8417). It does not expire: what it says has happened. */
  securityEvent(event: SecurityEvent): Promise<string>;
  /** Reads the keys, makes those whose time has come, and drops those whose time is over. */
  refresh(): Promise<void>;
  /** Refreshes every few minutes until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export interface IdentityToken {
  readonly subject: string;
  readonly audience: string;
  /** Beside the registered ones, which are ours. */
  readonly claims: Readonly<Record<string, Json>>;
  readonly ttlSeconds: number;
}

export interface SecurityEvent {
  /** The same for what is sent again. */
  readonly id: string;
  readonly audience: string;
  /** RFC 9493. */
  readonly subject: Json;
  /** By their URIs. */
  readonly events: Readonly<Record<string, Json>>;
}

interface LoadedKey extends DatedKey {
  readonly kid: string;
  readonly publicKey: Json;
  readonly privateKey: CryptoKey | Uint8Array;
}

const PURPOSE = 'signing key';
const OURS = new Set(['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti']);

/** Opens the issuer's keys, and makes the first ones. Throws `config-invalid` when their master key is not there. */
export async function createIssuer(options: IssuerOptions): Promise<Issuer> {
  const { url, algorithm, runtime } = options;
  let keys = await loadKeys(options, new Map());
  function signer(): LoadedKey {
    const key = signerAt(keys, algorithm, runtime.now());
    if (key === null) throw new HallpassError('stopped', 'Cannot sign: there is no signing key');
    return key;
  }
  const issuer: Issuer = {
    url,
    discovery: () => discoveryOf(url),
    jwks: () => ({ keys: publishedAt(keys, runtime.now()).map(({ publicKey }) => publicKey) }),
    identityToken: async (token) => sign(url, signer(), token, runtime),
    async securityEvent({ id, audience, subject, events }) {
      const { algorithm: alg, kid, privateKey } = signer();
      // Neither `sub` nor `exp`, and a type of its own: nobody can take it for an identity token (RFC 8417, section 4.6).
      return new SignJWT({ sub_id: subject, events })
        .setProtectedHeader({ alg, kid, typ: 'secevent+jwt' })
        .setIssuer(url)
        .setAudience(audience)
        .setIssuedAt(Math.floor(runtime.now() / 1000))
        .setJti(id)
        .sign(privateKey);
    },
    async refresh() {
      keys = await loadKeys(options, new Map(keys.map((key) => [key.kid, key])));
    },
    async run(signal) {
      while (!signal.aborted) {
        await runtime.sleep(RELOAD_MS, signal).catch(() => {});
        if (!signal.aborted) await issuer.refresh().catch(options.onError);
      }
    },
  };
  return issuer;
}

/**
 * The keys as they stand in the store once those that are missing are made. Of replicas that make the same one, the
 * first to write wins, and the others read what it wrote.
 */
async function loadKeys(options: IssuerOptions, known: ReadonlyMap<string, LoadedKey>): Promise<LoadedKey[]> {
  const { database, masterKeys, runtime, rotateEveryMs } = options;
  let rows = await readSigningKeys(database);
  const missing = missingAt(rows, runtime.now(), rotateEveryMs);
  if (missing.length > 0) {
    const made = await Promise.all(missing.map((key) => makeKey(key, options)));
    for (const row of made) await addSigningKey(database, row);
    rows = await readSigningKeys(database);
  }
  const retired = retiredAt(rows, runtime.now());
  await dropSigningKeys(
    database,
    retired.map(({ kid }) => kid),
  );
  const live = rows.filter((row) => !retired.includes(row));
  const loaded: LoadedKey[] = [];
  for (const row of live) {
    if (masterKeys.idOf(row.sealed) !== masterKeys.currentId) await reseal(row, database, masterKeys);
    loaded.push(known.get(row.kid) ?? (await openKey(row, masterKeys)));
  }
  return loaded;
}

async function makeKey(key: DatedKey, { masterKeys, runtime }: IssuerOptions): Promise<SigningKeyRow> {
  const { publicKey, privateKey } = await generateKeyPair(key.algorithm, {
    extractable: true,
    modulusLength: RSA_BITS,
  });
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  const secret = Buffer.from(JSON.stringify(await exportJWK(privateKey)));
  return {
    ...key,
    kid,
    publicKey: { ...jwk, kid, alg: key.algorithm, use: 'sig' } as Json,
    sealed: await masterKeys.seal(PURPOSE, secret),
    createdAt: runtime.now(),
  };
}

async function openKey(row: SigningKeyRow, masterKeys: MasterKeys): Promise<LoadedKey> {
  const { kid, algorithm, generation, signsFrom, publicKey } = row;
  const jwk = JSON.parse(new TextDecoder().decode(await masterKeys.open(PURPOSE, row.sealed))) as JWK;
  return {
    kid,
    algorithm,
    generation,
    signsFrom,
    publicKey,
    privateKey: await importJWK(jwk, algorithm),
  };
}

/** Seals every signing key anew, also those that the current master key sealed. Answers how many. */
export async function rewrapSigningKeys(database: Database, masterKeys: MasterKeys): Promise<number> {
  const rows = await readSigningKeys(database);
  for (const row of rows) await reseal(row, database, masterKeys);
  return rows.length;
}

async function reseal({ kid, sealed }: SigningKeyRow, database: Database, masterKeys: MasterKeys) {
  const secret = await masterKeys.open(PURPOSE, sealed);
  await resealSigningKey(database, kid, await masterKeys.seal(PURPOSE, secret));
}

async function sign(url: string, signer: LoadedKey, token: IdentityToken, runtime: Runtime): Promise<string> {
  const { subject, audience, claims, ttlSeconds } = token;
  const taken = Object.keys(claims).find((name) => OURS.has(name));
  if (taken !== undefined)
    throw new RangeError(`Cannot sign a token with a claim "${taken}": it is the issuer's`);
  if (!(ttlSeconds > 0 && ttlSeconds <= MAX_TOKEN_SECONDS))
    throw new RangeError(`Cannot sign a token for ${ttlSeconds} s: write 1 to ${MAX_TOKEN_SECONDS}`);
  const now = Math.floor(runtime.now() / 1000);
  return new SignJWT({ ...claims })
    .setProtectedHeader({ alg: signer.algorithm, kid: signer.kid, typ: 'JWT' })
    .setIssuer(url)
    .setSubject(subject)
    .setAudience(audience)
    .setIssuedAt(now)
    .setNotBefore(now - CLOCK_MARGIN_SECONDS)
    .setExpirationTime(now + Math.floor(ttlSeconds))
    .setJti(newId(runtime))
    .sign(signer.privateKey);
}

/** What relying parties ask for. There is no authorization endpoint: nobody can log in here. */
function discoveryOf(url: string): Json {
  return {
    issuer: url,
    jwks_uri: `${url}/.well-known/jwks.json`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: [...SIGNING_ALGORITHMS],
    claims_supported: ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti'],
  };
}

/** What a target gets of the issuer. Each proves itself by a subject of its own, so that what trusts one does not trust the others. */
export function identityOf(
  target: string,
  issuer: Issuer | null,
): {
  identityToken?: (
    audience: string,
    claims: Readonly<Record<string, Json>>,
    ttlSeconds: number,
  ) => Promise<string>;
} {
  if (issuer === null) return {};
  const subject = `hallpass:target:${target}`;
  return {
    identityToken: (audience, claims, ttlSeconds) =>
      issuer.identityToken({ subject, audience, claims, ttlSeconds }),
  };
}
