import { canonicalJson } from '../../json.ts';
import { err, ok, type Result } from '../../result.ts';
import { type JsonObject, parseStrictObject } from '../jwt/strict-json.ts';
import { HEADER_MAX_CHARS } from './limits.ts';

/** The only question that is ever passed on. */
export const QUESTION = 'Action=GetCallerIdentity&Version=2011-06-15';

/** What a token of this kind begins with. */
export const PREFIX = 'aws-sigv4.';

/** The signed header that binds a request to one broker. */
export const AUDIENCE_HEADER = 'x-hallpass-audience';

/** A signed GetCallerIdentity request, as a caller made it. Nobody has checked its signature. */
export interface SignedRequest {
  readonly url: string;
  /** Lower-case names; each but `authorization` is signed. */
  readonly headers: Readonly<Record<string, string>>;
  readonly audience: string;
  readonly region: string;
  /** When it was signed, in milliseconds since the epoch. */
  readonly signedAt: number;
  /** Lower-case hexadecimal. */
  readonly signature: string;
}

const REQUIRED = ['authorization', 'content-type', 'x-amz-date', AUDIENCE_HEADER];
const ALLOWED = new Set([...REQUIRED, 'x-amz-security-token', 'x-amz-content-sha256']);

/** One spelling: SigV4 signs values with their spaces trimmed and folded, so others would have the same signature. */
const VALUE = /^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/;

const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=[A-Z0-9]{16,128}\/(\d{8})\/([a-z0-9-]{1,64})\/sts\/aws4_request, SignedHeaders=([a-z0-9;-]{1,512}), Signature=([0-9a-f]{64})$/;

/** The URL that a token is for, before anything else in it is judged; null for what is no such token. */
export function urlOf(token: string): string | null {
  const read = parse(token);
  return read.ok && typeof read.value.url === 'string' ? read.value.url : null;
}

/**
 * Reads a token: `aws-sigv4.` and base64url of `{"headers":{...},"url":"..."}` in canonical JSON. Method and body are not in
 * it: they are always POST and `QUESTION`. Every header is known, signed, and has one spelling, so nothing in a token can be
 * changed without changing what was signed.
 */
export function readRequest(token: string): Result<SignedRequest, string> {
  const read = parse(token);
  if (!read.ok) return read;
  const { url, headers: given, ...others } = read.value;
  if (typeof url !== 'string' || Object.keys(others).length > 0)
    return err('it has other members than url and headers');
  const headers = readHeaders(given);
  if (!headers.ok) return headers;
  const { authorization = '', 'x-amz-date': stamp = '', [AUDIENCE_HEADER]: audience = '' } = headers.value;
  const [, day, region = '', signed, signature = ''] = AUTHORIZATION.exec(authorization) ?? [];
  if (day === undefined) return err('its authorization is no SigV4 signature for STS');
  const names = Object.keys(headers.value).filter((name) => name !== 'authorization');
  if (signed !== [...names, 'host'].sort().join(';'))
    return err('not every header is signed, once and in order');
  const signedAt = instantOf(stamp);
  if (signedAt === null || stamp.slice(0, 8) !== day)
    return err('its x-amz-date is no instant of the day it was signed for');
  return ok({ url, headers: headers.value, audience, region, signedAt, signature });
}

function parse(token: string): Result<JsonObject, string> {
  if (!token.startsWith(PREFIX)) return err('it does not begin as one');
  const encoded = token.slice(PREFIX.length);
  const bytes = Buffer.from(encoded, 'base64url');
  if (bytes.toString('base64url') !== encoded) return err('it is not canonical base64url');
  const object = parseStrictObject(bytes);
  if (!object.ok) return err(`it ${object.error}`);
  return canonicalJson(object.value) === bytes.toString('utf8') ? object : err('it is not canonical JSON');
}

function readHeaders(given: unknown): Result<Readonly<Record<string, string>>, string> {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return err('it has no headers');
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    if (!ALLOWED.has(name)) return err('it has a header that is not known');
    if (typeof value !== 'string' || value.length > HEADER_MAX_CHARS || !VALUE.test(value))
      return err('one of its headers is no plain text');
    headers[name] = value;
  }
  return REQUIRED.every((name) => Object.hasOwn(headers, name)) ? ok(headers) : err('it lacks a header');
}

/** `20300131T235959Z`, in milliseconds since the epoch. */
function instantOf(stamp: string): number | null {
  const [, ...parts] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(stamp) ?? [];
  const [year, month, day, hour, minute, second] = parts;
  const instant = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(instant) ? null : instant;
}
