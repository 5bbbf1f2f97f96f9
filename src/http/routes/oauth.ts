import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ZodObject } from 'zod';
import { PROOF_ALGORITHMS } from '../../broker/dpop.ts';
import { TASK_TOKEN_PREFIX } from '../../broker/identify.ts';
import { err, ok, type Result } from '../../result.ts';
import { idempotencyKey } from '../contract.ts';
import { admit, authenticate, type Border, withinBounds } from '../endpoint.ts';
import { introspectionJson, tokenJson } from '../oauth/answer.ts';
import {
  ACCESS_TOKEN,
  DETAILS_TYPE,
  parseTokenRequest,
  TOKEN_EXCHANGE,
  UNKNOWN_CLIENT,
} from '../oauth/exchange.ts';
import { bearerFault, faultResponse, type OAuthFault, tokenFault, wireFault } from '../oauth/fault.ts';
import { readForm } from '../oauth/form.ts';
import { type Exchange, type HttpEnv, jsonResponse, observed } from '../observe.ts';
import { besideToken } from '../presented.ts';
import { type Fault, thrownFault } from '../wire.ts';

/** The verbs of the API under the names of OAuth, for those who have such a client. See ../oauth/README.md. */

type Served = Result<{ readonly json: unknown }, OAuthFault>;
type Serve = (c: Context<HttpEnv>, exchange: Exchange) => Promise<Served>;

export function addOAuthRoutes(border: Border): void {
  addForm(border, {
    path: '/oauth/token',
    summary: 'Exchange an identity token for the token of a task (RFC 8693, RFC 9396)',
    form: tokenForm,
    mints: true,
    serve: (c, exchange) => exchangeToken(border, c, exchange),
  });
  addForm(border, {
    path: '/oauth/revoke',
    summary: 'End the task of a token (RFC 7009)',
    form: z.object({ token: z.string(), token_type_hint: z.string().optional() }),
    serve: (c, exchange) => revokeToken(border, c, exchange),
  });
  addForm(border, {
    path: '/oauth/introspect',
    summary: 'What a task token is good for (RFC 7662)',
    form: z.object({ token: z.string(), token_type_hint: z.string().optional() }),
    secured: true,
    serve: (c, exchange) => introspectToken(border, c, exchange),
  });
  addMetadata(border);
}

const tokenForm = z.object({
  grant_type: z.literal(TOKEN_EXCHANGE),
  subject_token: z.string(),
  subject_token_type: z.string(),
  actor_token: z.string().optional(),
  actor_token_type: z.string().optional(),
  requested_token_type: z.literal(ACCESS_TOKEN).optional(),
  resource: z.string().optional(),
  audience: z.string().optional(),
  authorization_details: z.string().meta({
    description: `JSON: an array of one object of type \`${DETAILS_TYPE}\`, else as OpenTaskRequest`,
  }),
});

interface FormEndpoint {
  readonly path: string;
  readonly summary: string;
  readonly form: ZodObject;
  readonly mints?: boolean;
  readonly secured?: boolean;
  readonly serve: Serve;
}

function addForm(border: Border, { path, summary, form, mints, secured, serve }: FormEndpoint): void {
  const answer = { 'application/json': { schema: z.looseObject({}) } };
  border.app.openAPIRegistry.registerPath(
    createRoute({
      operationId: path.slice(1).replace('/', '_'),
      method: 'post',
      path,
      tags: ['OAuth'],
      summary,
      ...(secured ? { security: [{ bearer: [] }] } : {}),
      request: {
        body: { required: true, content: { 'application/x-www-form-urlencoded': { schema: form } } },
      },
      responses: {
        200: { description: 'Done', content: answer },
        400: { description: 'An error as RFC 6749, section 5.2, has it', content: answer },
      },
    }),
  );
  border.app.post(
    path,
    observed(border, path, async (c, exchange) => {
      const bounded = await withinBounds(border, mints ?? false, c);
      if (!bounded.ok) return faultResponse(wireFault(bounded.error), exchange);
      try {
        const served = await serve(c, exchange);
        return served.ok
          ? jsonResponse(200, served.value.json, exchange)
          : faultResponse(served.error, exchange);
      } catch (error) {
        const fault: Fault = thrownFault(error);
        border.log.error(
          { request_id: exchange.id, route: path, code: fault.code, err: error },
          'request failed',
        );
        return faultResponse(wireFault(fault), exchange);
      } finally {
        bounded.value();
      }
    }),
  );
}

/** `POST /oauth/token`: the same verbs as `POST /v1/tasks`, so the same checks and the same log. */
async function exchangeToken(border: Border, c: Context<HttpEnv>, exchange: Exchange): Promise<Served> {
  const { verbs, limits, url } = border;
  if (c.req.raw.headers.has('authorization')) return err(UNKNOWN_CLIENT);
  const key = c.req.raw.headers.get('idempotency-key');
  if (key !== null && !idempotencyKey.safeParse(key).success)
    return invalid('Idempotency-Key takes 1 to 200 printable ASCII characters');
  const form = await readForm(c.req.raw, limits);
  if (!form.ok) return form;
  const request = parseTokenRequest(form.value, url, limits);
  if (!request.ok) return request;
  const { subjectToken, actorToken, details } = request.value;
  const presented = { ...besideToken(c), inBody: true } as const;
  const caller = await verbs.identify({ kind: 'bearer', token: subjectToken }, 'oauth-token', presented);
  if (!caller.ok) return err(tokenFault(caller.error));
  const admitted = admit(border, caller.value, exchange);
  if (!admitted.ok) return err(wireFault(admitted.error));
  const opened = await verbs.openTask(caller.value, {
    grant: details.grant,
    task: details.task,
    purpose: details.purpose ?? null,
    ...(details.ticket === undefined ? {} : { ticket: details.ticket }),
    parameters: details.parameters ?? {},
    credentials: details.credentials ?? null,
    ttlSeconds: details.ttl_seconds ?? null,
    taskGrant: details.task_grant ?? null,
    ...(details.not_before === undefined ? {} : { notBefore: Date.parse(details.not_before) }),
    ...(details.request === undefined ? {} : { request: details.request }),
    publicKey: details.public_key ?? null,
    idempotencyKey: key,
    ...(actorToken === null ? {} : { actor: { kind: 'bearer' as const, token: actorToken } }),
  });
  if (!opened.ok) return err(tokenFault(opened.error));
  return ok({ json: tokenJson(opened.value, border.runtime.now()) });
}

/** How soon a client may ask whether what was pending has ended: the reaper tries again about as often. */
const PENDING_RETRY_MS = 5_000;

/** `POST /oauth/revoke`: who holds a token, and its key where it is bound to one, may end its task. */
async function revokeToken(border: Border, c: Context<HttpEnv>, exchange: Exchange): Promise<Served> {
  const token = await tokenParameter(border, c);
  if (!token.ok) return token;
  // What is not a token of ours cannot be good for anything here (RFC 7009, section 2.2).
  if (!token.value.startsWith(TASK_TOKEN_PREFIX)) return ok({ json: {} });
  const caller = await border.verbs.identify({ kind: 'bearer', token: token.value }, 'oauth-revoke', {
    ...besideToken(c),
    // The proof stands for the scheme, which a form has no place for.
    ...(c.req.raw.headers.has('dpop') ? { scheme: 'DPoP' } : {}),
    inBody: true,
  });
  if (!caller.ok)
    return caller.error.reason === 'unauthenticated' ? ok({ json: {} }) : err(tokenFault(caller.error));
  const admitted = admit(border, caller.value, exchange);
  if (!admitted.ok) return err(wireFault(admitted.error));
  if (caller.value.kind !== 'task') return ok({ json: {} });
  const done = await border.verbs.completeTask(caller.value, caller.value.task.id, null);
  if (!done.ok) return err(tokenFault(done.error));
  if (done.value.leases.every((lease) => lease.state === 'ended')) return ok({ json: {} });
  return err({
    status: 503,
    error: 'temporarily_unavailable',
    description: 'The task has ended; its credentials are still being revoked at their targets',
    retryAfterMs: PENDING_RETRY_MS,
  });
}

/** `POST /oauth/introspect`, for the holder of the token, operators and auditors. */
async function introspectToken(border: Border, c: Context<HttpEnv>, exchange: Exchange): Promise<Served> {
  const caller = await authenticate(border, 'oauth-introspect', c, exchange);
  if (!caller.ok) return err(authenticationFault(caller.error));
  const token = await tokenParameter(border, c);
  if (!token.ok) return token;
  const found = await border.verbs.introspect(caller.value, token.value);
  if (!found.ok) return err(bearerFault(found.error));
  if (found.value === null) return ok({ json: { active: false } });
  return ok({ json: introspectionJson(found.value.task, found.value.leases, border.url) });
}

function authenticationFault(fault: Fault): OAuthFault {
  if (fault.code === 'invalid-proof' || fault.code === 'use-nonce')
    return bearerFault({ reason: 'bad-proof', detail: '', nonce: fault.nonce ?? null });
  return wireFault(fault);
}

async function tokenParameter(border: Border, c: Context<HttpEnv>): Promise<Result<string, OAuthFault>> {
  const form = await readForm(c.req.raw, border.limits);
  if (!form.ok) return form;
  const token = form.value.get('token')?.[0];
  return token === undefined ? invalid('Send token') : ok(token);
}

function invalid(description: string) {
  return err<OAuthFault>({ status: 400, error: 'invalid_request', description });
}

/** `GET /.well-known/oauth-authorization-server` (RFC 8414). */
function addMetadata(border: Border): void {
  const path = '/.well-known/oauth-authorization-server';
  const { url } = border;
  const metadata = {
    issuer: url,
    token_endpoint: `${url}/oauth/token`,
    revocation_endpoint: `${url}/oauth/revoke`,
    introspection_endpoint: `${url}/oauth/introspect`,
    // There is no authorization endpoint, so there is nothing that it could answer.
    response_types_supported: [],
    grant_types_supported: [TOKEN_EXCHANGE],
    token_endpoint_auth_methods_supported: ['none'],
    revocation_endpoint_auth_methods_supported: ['none'],
    authorization_details_types_supported: [DETAILS_TYPE],
    dpop_signing_alg_values_supported: [...PROOF_ALGORITHMS],
    service_documentation: `${url}/docs`,
  };
  border.app.openAPIRegistry.registerPath(
    createRoute({
      operationId: 'oauth_metadata',
      method: 'get',
      path,
      tags: ['OAuth'],
      summary: 'Where the OAuth endpoints are, and what they can do (RFC 8414)',
      responses: {
        200: { description: 'The metadata', content: { 'application/json': { schema: z.looseObject({}) } } },
      },
    }),
  );
  border.app.get(
    path,
    observed(border, path, (_c, exchange) => jsonResponse(200, metadata, exchange)),
  );
}
