import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import type { Logger } from 'pino';
import { newId, type Runtime } from '../runtime.ts';
import { type Fault, problemBody, retryAfterSeconds, thrownFault } from './wire.ts';

/** What Hono knows of a request. `incoming` is absent when a test calls the app without a server. */
export interface HttpEnv {
  Bindings: Partial<HttpBindings>;
}

/** Where the border counts what it does. */
export interface HttpMetrics {
  /** `route` is a pattern, never a path: the number of series is bounded. */
  request(route: string, method: string, status: number, seconds: number): void;
  /** Everything that `/metrics` shows. */
  exposition(): Promise<{ readonly contentType: string; readonly text: string }>;
}

/** One request on its way through the border. */
export interface Exchange {
  readonly id: string;
  /** Who calls, for the access log, once proven. */
  caller: { readonly issuer: string; readonly subject: string; readonly task?: string } | null;
}

export interface Observer {
  readonly requestIds: () => string;
  readonly log: Logger;
  readonly metrics: HttpMetrics;
}

/** Names for requests: unique among processes by a random beginning, cheap by a count. Not secret, not guarded. */
export function createRequestIds(runtime: Runtime): () => string {
  const process = newId(runtime);
  let count = 0;
  return () => {
    count++;
    return `${process}-${count.toString(36)}`;
  };
}

/**
 * Wraps a route: gives the request its id, turns what is thrown into a problem, and writes the access log and the
 * metrics. Neither ever holds a header, a body, a query, or a path that no route matched.
 */
export function observed(
  { requestIds, log, metrics }: Observer,
  route: string,
  serve: (c: Context<HttpEnv>, exchange: Exchange) => Promise<Response> | Response,
): (c: Context<HttpEnv>) => Promise<Response> {
  return async (c) => {
    const startedAt = performance.now();
    const exchange: Exchange = { id: requestIds(), caller: null };
    let response: Response;
    try {
      response = await serve(c, exchange);
    } catch (error) {
      const fault = thrownFault(error);
      log.error({ request_id: exchange.id, route, code: fault.code, err: error }, 'request failed');
      response = problemResponse(fault, exchange);
    }
    const ms = performance.now() - startedAt;
    const { method } = c.req;
    metrics.request(route, method, response.status, ms / 1000);
    log.info(
      {
        request_id: exchange.id,
        method,
        route,
        status: response.status,
        ms: Math.round(ms * 10) / 10,
        caller: exchange.caller,
      },
      'request',
    );
    return response;
  };
}

/** The headers of every answer are given at once, as a plain object: the server sends those without copying. */
function headers(exchange: Exchange, contentType: string): Record<string, string> {
  return {
    'content-type': contentType,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-request-id': exchange.id,
  };
}

export function jsonResponse(
  status: number,
  body: unknown,
  exchange: Exchange,
  extra: Readonly<Record<string, string>> = {},
): Response {
  const fields = { ...headers(exchange, 'application/json'), ...extra };
  return new Response(JSON.stringify(body), { status, headers: fields });
}

export function textResponse(
  text: string,
  contentType: string,
  exchange: Exchange,
  extra: Readonly<Record<string, string>> = {},
): Response {
  return new Response(text, { status: 200, headers: { ...headers(exchange, contentType), ...extra } });
}

export function problemResponse(fault: Fault, exchange: Exchange): Response {
  const body = problemBody(fault, exchange.id);
  const fields = headers(exchange, 'application/problem+json');
  if (fault.retryAfterMs !== undefined) fields['retry-after'] = String(retryAfterSeconds(fault.retryAfterMs));
  if (fault.code === 'unauthenticated') fields['www-authenticate'] = 'Bearer';
  // RFC 9449, sections 7.1 and 9.
  if (fault.code === 'invalid-proof') fields['www-authenticate'] = 'DPoP error="invalid_dpop_proof"';
  if (fault.nonce !== undefined) {
    fields['www-authenticate'] = 'DPoP error="use_dpop_nonce"';
    fields['dpop-nonce'] = fault.nonce;
  }
  return new Response(JSON.stringify(body), { status: body.status, headers: fields });
}
