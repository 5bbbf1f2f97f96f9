import { z } from 'zod';
import { err, ok, type Result } from '../../result.ts';
import { openTaskRequest } from '../contract.ts';
import { type JsonBounds, parseStrictJson } from '../strict-json.ts';
import type { OAuthFault } from './fault.ts';
import type { Form } from './form.ts';

/** The request of a token exchange (RFC 8693, section 2.1) that opens one task (RFC 9396). */

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
export const DETAILS_TYPE = 'hallpass_task';

/** What we can verify. An `access_token` of somebody else's is for him to understand. */
const IDENTITY_TYPES = new Set([
  'urn:ietf:params:oauth:token-type:jwt',
  'urn:ietf:params:oauth:token-type:id_token',
]);

/** How else a client could say who he is, or ask. Nothing may rest on what we do not look at, so it is refused. */
const CLIENT_CREDENTIALS = ['client_assertion', 'client_assertion_type', 'client_secret'];

/** The one kind of `authorization_details` (RFC 9396, section 2): what `POST /v1/tasks` takes. */
export const taskDetails = openTaskRequest
  .omit({ actor_token: true, practice: true })
  .extend({ type: z.literal(DETAILS_TYPE) })
  .meta({ id: 'HallpassTaskDetails' });
export type TaskDetails = z.infer<typeof taskDetails>;

const TOKEN_MAX_CHARS = 16_384;

export interface TokenRequest {
  readonly subjectToken: string;
  readonly actorToken: string | null;
  readonly details: TaskDetails;
}

/** Pure. `url` is the broker's own: the one resource that its tokens are for. */
export function parseTokenRequest(
  form: Form,
  url: string,
  bounds: JsonBounds,
): Result<TokenRequest, OAuthFault> {
  const one = (name: string): string | null => form.get(name)?.[0] ?? null;
  if (CLIENT_CREDENTIALS.some((name) => form.has(name))) return err(UNKNOWN_CLIENT);
  const grantType = one('grant_type');
  if (grantType === null) return no('invalid_request', 'Send grant_type');
  if (grantType !== TOKEN_EXCHANGE) return no('unsupported_grant_type', `Send grant_type=${TOKEN_EXCHANGE}`);
  const subject = identityToken(form, 'subject');
  if (!subject.ok) return subject;
  if (subject.value === null) return no('invalid_request', 'Send subject_token');
  const actor = identityToken(form, 'actor');
  if (!actor.ok) return actor;
  if (![null, ACCESS_TOKEN].includes(one('requested_token_type')))
    return no('invalid_request', `requested_token_type can only be ${ACCESS_TOKEN}`);
  const targets = [...(form.get('resource') ?? []), ...(form.get('audience') ?? [])];
  if (targets.some((target) => target.replace(/\/$/, '') !== url))
    return no(
      'invalid_target',
      `The tokens given here are for ${url}: what the task needs goes into authorization_details`,
    );
  if (form.has('scope'))
    return no('invalid_scope', 'There are no scopes: what the task needs goes into authorization_details');
  const details = parseDetails(one('authorization_details'), bounds);
  if (!details.ok) return no('invalid_authorization_details', details.error);
  return ok({ subjectToken: subject.value, actorToken: actor.value, details: details.value });
}

/** Nobody is authenticated as a client here: the subject token says who calls. */
export const UNKNOWN_CLIENT: OAuthFault = {
  status: 400,
  error: 'invalid_client',
  description: 'Clients have no credentials of their own here: send subject_token alone',
};

function identityToken(form: Form, whose: 'subject' | 'actor'): Result<string | null, OAuthFault> {
  const token = form.get(`${whose}_token`)?.[0] ?? null;
  const type = form.get(`${whose}_token_type`)?.[0] ?? null;
  if (token === null) return type === null ? ok(null) : no('invalid_request', `Send ${whose}_token`);
  if (type === null || !IDENTITY_TYPES.has(type))
    return no('invalid_request', `${whose}_token_type must be one of ${[...IDENTITY_TYPES].join(', ')}`);
  if (token.length > TOKEN_MAX_CHARS || !/^[\x21-\x7e]+$/.test(token))
    return no('invalid_request', `${whose}_token is not a token of at most ${TOKEN_MAX_CHARS} characters`);
  return ok(token);
}

/** One task a token: what a second one would be granted could not be told apart afterwards. */
function parseDetails(text: string | null, bounds: JsonBounds): Result<TaskDetails, string> {
  const example = `a JSON array of one object with type "${DETAILS_TYPE}", grant and task`;
  if (text === null) return err(`Send authorization_details: ${example}`);
  const parsed = parseStrictJson(text, bounds);
  if (!parsed.ok) return err(parsed.error.replace('The body', 'authorization_details'));
  if (!Array.isArray(parsed.value) || parsed.value.length !== 1)
    return err(`authorization_details must be ${example}`);
  const read = taskDetails.safeParse(parsed.value[0]);
  if (read.success) return ok(read.data);
  const issue = read.error.issues[0];
  const where = [0, ...(issue?.path ?? [])].map((part) => String(part).slice(0, 100)).join('.');
  return err(`authorization_details.${where}: ${issue?.message.slice(0, 300)}`);
}

function no(error: OAuthFault['error'], description: string) {
  return err<OAuthFault>({ status: 400, error, description });
}
