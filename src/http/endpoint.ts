import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ZodError, ZodObject, ZodType, z } from 'zod';
import type { Refusal } from '../broker/refusal.ts';
import type { Caller, Verbs } from '../broker/verbs.ts';
import type { Result } from '../result.ts';
import { err, ok } from '../result.ts';
import type { Runtime } from '../runtime.ts';
import { readJsonBody } from './body.ts';
import { clientCertificate } from './client-certificate.ts';
import { emptyRequest, idempotencyKey, idParams, type ProblemCode } from './contract.ts';
import { describeEndpoint } from './describe.ts';
import type { HttpLimits } from './limits.ts';
import {
  type Exchange,
  type HttpEnv,
  jsonResponse,
  type Observer,
  observed,
  problemResponse,
} from './observe.ts';
import { besideToken, presentedBy } from './presented.ts';
import { addressKey, type RateBound } from './rate.ts';
import { type Fault, refusalFault, thrownFault } from './wire.ts';

/** What every route under `/v1` is served with. */
export interface Border extends Observer {
  readonly app: OpenAPIHono<HttpEnv>;
  readonly verbs: Verbs;
  readonly runtime: Runtime;
  readonly limits: HttpLimits;
  /** Where clients reach the broker, without a slash at the end. */
  readonly url: string;
  readonly perAddress: RateBound;
  readonly perCaller: RateBound;
  /** What is wrong with this process's clock, or null. */
  readonly clockFault: () => Promise<string | null>;
  /** Whether to send away one who would begin something. */
  readonly sheds: () => boolean;
  /** What is being served now. */
  readonly inFlight: { requests: number; mints: number };
}

/** One verb of the API: what it takes, what it answers, and how it may fail. The schemas are those of contract.ts. */
export interface Endpoint<Query extends ZodObject, Body extends ZodObject> {
  /** The OpenAPI operation id, and the name of the request in the log. */
  readonly operation: string;
  readonly method: 'get' | 'post';
  /** With `{id}` where an id stands. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly query?: Query;
  readonly body?: Body;
  /** Whether it takes an `Idempotency-Key`. */
  readonly idempotent?: boolean;
  /** Whether it makes credentials: shed before those that end them. */
  readonly mints?: boolean;
  readonly answers: Readonly<Record<number, { readonly description: string; readonly schema: ZodType }>>;
  /** The codes of its own; those that any request can meet are added. */
  readonly problems: readonly ProblemCode[];
  readonly serve: (request: ApiRequest<Query, Body>) => Promise<Result<Reply, Refusal>>;
}

/** A request that was authenticated and parsed. */
export interface ApiRequest<Query extends ZodObject, Body extends ZodObject> {
  readonly caller: Caller;
  /** The id of the path; empty where the path has none. */
  readonly id: string;
  readonly query: z.output<Query>;
  readonly body: z.output<Body>;
  readonly idempotencyKey: string | null;
  /** Milliseconds since the epoch, for what depends on the clock in the answer. */
  readonly now: number;
}

export interface Reply {
  readonly status: number;
  readonly json: unknown;
}

/** Puts an endpoint into the document and serves it: bound, authenticate, parse, call the verb, answer. */
export function addEndpoint<Query extends ZodObject, Body extends ZodObject>(
  border: Border,
  endpoint: Endpoint<Query, Body>,
): void {
  const path = endpoint.path.replace('{id}', ':id');
  border.app.openAPIRegistry.registerPath(describeEndpoint(endpoint));
  border.app.on(
    endpoint.method,
    path,
    observed(border, endpoint.path, async (c, exchange) => {
      const bounded = await withinBounds(border, endpoint.mints ?? false, c);
      if (!bounded.ok) return problemResponse(bounded.error, exchange);
      try {
        return await answer(border, endpoint, c, exchange);
      } finally {
        bounded.value();
      }
    }),
  );
}

/**
 * Takes a place among the requests in flight; the value gives it back. By a clock that is wrong nobody can tell what
 * has expired and what is due: then another replica has to serve it.
 */
export async function withinBounds(
  border: Border,
  mints: boolean,
  c: Context<HttpEnv>,
): Promise<Result<() => void, Fault>> {
  const { inFlight, limits } = border;
  const full =
    inFlight.requests >= limits.maxInFlight ||
    (mints && (inFlight.mints >= limits.maxInFlightMints || border.sheds()));
  if (full) return err({ code: 'overloaded', retryAfterMs: 1000 });
  inFlight.requests++;
  if (mints) inFlight.mints++;
  const leave = () => {
    inFlight.requests--;
    if (mints) inFlight.mints--;
  };
  const refusal = await refusalNow(border, c);
  if (refusal === null) return ok(leave);
  leave();
  return err(refusal);
}

async function refusalNow({ clockFault, perAddress, runtime }: Border, c: Context<HttpEnv>) {
  try {
    if ((await clockFault()) !== null) return { code: 'not-ready', retryAfterMs: 1000 } satisfies Fault;
  } catch (error) {
    return thrownFault(error);
  }
  const waitMs = perAddress(addressKey(c.env?.incoming?.socket.remoteAddress), runtime.now());
  return waitMs === null ? null : ({ code: 'rate-limited', retryAfterMs: waitMs } satisfies Fault);
}

async function answer<Query extends ZodObject, Body extends ZodObject>(
  border: Border,
  endpoint: Endpoint<Query, Body>,
  c: Context<HttpEnv>,
  exchange: Exchange,
): Promise<Response> {
  const caller = await authenticate(border, endpoint.operation, c, exchange);
  if (!caller.ok) return problemResponse(caller.error, exchange);
  const request = await parse(border, endpoint, c, caller.value);
  if (!request.ok) return problemResponse(request.error, exchange);
  const reply = await endpoint.serve(request.value);
  if (!reply.ok) return problemResponse(refusalFault(reply.error), exchange);
  return jsonResponse(reply.value.status, reply.value.json, exchange);
}

/** Who sends a request, by the token in its header, and what proves that the token is his. */
export async function authenticate(
  border: Border,
  operation: string,
  c: Context<HttpEnv>,
  exchange: Exchange,
): Promise<Result<Caller, Fault>> {
  const identified = await identify(border, operation, c);
  if (identified === null) return err(refusalFault({ reason: 'unauthenticated', detail: '' }));
  if (!identified.ok) return err(refusalFault(identified.error));
  return admit(border, identified.value, exchange);
}

/** Whom the token names, or else the certificate that the client proved to hold; null when there is neither. */
async function identify({ verbs }: Border, operation: string, c: Context<HttpEnv>) {
  const presented = presentedBy(c);
  if (presented !== null) {
    const { token, ...beside } = presented;
    return verbs.identify({ kind: 'bearer', token }, operation, beside);
  }
  const certificate = clientCertificate(c.env?.incoming?.socket);
  return certificate && verbs.identify(certificate, operation, besideToken(c));
}

/** Lets a caller in who is known now: names him in the access log, and bounds how often he calls. */
export function admit(border: Border, caller: Caller, exchange: Exchange): Result<Caller, Fault> {
  const { issuer, subject } = caller.kind === 'task' ? caller.task.principal : caller.principal;
  exchange.caller = caller.kind === 'task' ? { issuer, subject, task: caller.task.id } : { issuer, subject };
  // A task has a bucket of its own: a busy scheduler's tasks can always beat and end.
  const key = caller.kind === 'task' ? caller.task.id : `${issuer}\n${subject}`;
  const waitMs = border.perCaller(key, border.runtime.now());
  return waitMs === null ? ok(caller) : err({ code: 'rate-limited', retryAfterMs: waitMs });
}

async function parse<Query extends ZodObject, Body extends ZodObject>(
  border: Border,
  endpoint: Endpoint<Query, Body>,
  c: Context<HttpEnv>,
  caller: Caller,
): Promise<Result<ApiRequest<Query, Body>, Fault>> {
  const id = c.req.param('id') ?? '';
  if (endpoint.path.includes('{id}') && !idParams.safeParse({ id }).success)
    return err(refusalFault({ reason: 'not-found', detail: '' }));
  const key = endpoint.idempotent ? (c.req.raw.headers.get('idempotency-key') ?? null) : null;
  if (key !== null && !idempotencyKey.safeParse(key).success)
    return invalid([{ path: 'Idempotency-Key', message: 'Write 1 to 200 printable ASCII characters' }]);
  const asked = readQuery(c);
  if (!asked.ok) return asked;
  const query = (endpoint.query ?? emptyRequest).safeParse(asked.value);
  if (!query.success) return invalid(faultsOf(query.error));
  const read = endpoint.method === 'post' ? await readJsonBody(c.req.raw, border.limits) : ok({});
  if (!read.ok) return read;
  const body = (endpoint.body ?? emptyRequest).safeParse(read.value);
  if (!body.success) return invalid(faultsOf(body.error));
  return ok({
    caller,
    id,
    query: query.data as z.output<Query>,
    body: body.data as z.output<Body>,
    idempotencyKey: key,
    now: border.runtime.now(),
  });
}

function readQuery(c: Context<HttpEnv>): Result<Record<string, string>, Fault> {
  if (!c.req.url.includes('?')) return ok({});
  const entries = Object.entries(c.req.queries());
  const repeated = entries.find(([, values]) => values.length > 1);
  if (repeated) return invalid([{ path: repeated[0].slice(0, 100), message: 'Write it once' }]);
  return ok(Object.fromEntries(entries.map(([name, values]) => [name, values[0] ?? ''])));
}

type PathFault = { readonly path: string; readonly message: string };

function invalid(faults: readonly PathFault[]): Result<never, Fault> {
  return err({ code: 'invalid-request', detail: 'See faults', faults: faults.slice(0, 20) });
}

/** Zod's issues by path. Names that nobody knows are faults of their own, each at its place. */
function faultsOf(error: ZodError): PathFault[] {
  return error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ path: pathText([...issue.path, key]), message: 'Unknown: remove it' }))
      : [{ path: pathText(issue.path), message: issue.message.slice(0, 300) }],
  );
}

function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((part, at) =>
      typeof part === 'number' ? `[${part}]` : `${at ? '.' : ''}${String(part).slice(0, 100)}`,
    )
    .join('');
}
