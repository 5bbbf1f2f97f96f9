import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { createRoute } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { parseTilePath, TILE_WIDTH } from '../../audit/tile.ts';
import type { LogVerbs } from '../../broker/log.ts';
import { ok } from '../../result.ts';
import * as contract from '../contract.ts';
import { addEndpoint, authenticate, type Border, withinBounds } from '../endpoint.ts';
import { type Exchange, type HttpEnv, observed, problemResponse, textResponse } from '../observe.ts';
import { refusalFault } from '../wire.ts';

const PREFIX = '/audit/log/';

/** Checkpoints change with every event: nobody keeps one for longer than it takes to notice a crowd. */
const CHECKPOINT_SECONDS = 2;
/** Tiles never change: kept for a year, as long as caches go. */
const TILE_SECONDS = 31_536_000;

/** The log in the static form of C2SP tlog-tiles, and the receipts of leases. */
export function addLogRoutes(border: Border, log: LogVerbs): void {
  addText(border, 'checkpoint', 'The signed checkpoint of the log (C2SP tlog-checkpoint)', () =>
    log.checkpoint(),
  );
  addText(border, 'keys', 'The verifier keys of the log, a line each, the newest last', async () =>
    (await log.keys()).map((key) => `${key}\n`).join(''),
  );
  addTiles(border, log);
  addEndpoint(border, {
    operation: 'leaseReceipts',
    method: 'get',
    path: '/v1/leases/{id}/receipt',
    tag: 'Audit',
    summary: 'Proofs of what the log says of a lease, to be verified offline (C2SP tlog-proof)',
    answers: { 200: { description: 'A proof for each event', schema: contract.receipts } },
    problems: ['not-found'],
    async serve({ caller, id }) {
      const receipts = await log.receipts(caller, id);
      return receipts.ok ? ok({ status: 200, json: { receipts: receipts.value } }) : receipts;
    },
  });
}

/** What everybody may read. */
function addText(border: Border, name: string, summary: string, read: () => Promise<string | null>): void {
  const path = `${PREFIX}${name}`;
  border.app.openAPIRegistry.registerPath(
    createRoute({
      operationId: `log_${name}`,
      method: 'get',
      path,
      tags: ['Audit'],
      summary,
      responses: {
        200: { description: summary, content: { 'text/plain': {} } },
        404: { description: 'There is none yet' },
      },
    }),
  );
  border.app.get(
    path,
    observed(border, path, async (c, exchange) =>
      bounded(border, c, exchange, async () => {
        const text = await read();
        if (text === null)
          return problemResponse({ code: 'not-found', detail: 'The log is empty yet' }, exchange);
        return textResponse(text, 'text/plain; charset=utf-8', exchange, {
          'cache-control': `public, max-age=${CHECKPOINT_SECONDS}`,
        });
      }),
    ),
  );
}

function addTiles(border: Border, log: LogVerbs): void {
  const path = `${PREFIX}tile/*`;
  border.app.get(
    path,
    observed(border, path, async (c, exchange) =>
      bounded(border, c, exchange, () => tile(border, log, c, exchange)),
    ),
  );
}

async function bounded(
  border: Border,
  c: Context<HttpEnv>,
  exchange: Exchange,
  serve: () => Promise<Response>,
): Promise<Response> {
  const place = await withinBounds(border, false, c);
  if (!place.ok) return problemResponse(place.error, exchange);
  try {
    return await serve();
  } finally {
    place.value();
  }
}

async function tile(
  border: Border,
  log: LogVerbs,
  c: Context<HttpEnv>,
  exchange: Exchange,
): Promise<Response> {
  const wanted = parseTilePath(new URL(c.req.url).pathname.slice(PREFIX.length));
  if (wanted === null)
    return problemResponse({ code: 'not-found', detail: 'This is not the path of a tile' }, exchange);
  const caller = log.isPublic ? ok(null) : await authenticate(border, 'readLog', c, exchange);
  if (!caller.ok) return problemResponse(caller.error, exchange);
  const content = await log.tile(caller.value, wanted);
  if (!content.ok) return problemResponse(refusalFault(content.error), exchange);
  const full = wanted.width === TILE_WIDTH;
  const headers: Record<string, string> = {
    'content-type': 'application/octet-stream',
    'cache-control': `${log.isPublic ? 'public' : 'private'}, max-age=${TILE_SECONDS}${full ? ', immutable' : ''}`,
    'x-content-type-options': 'nosniff',
    'x-request-id': exchange.id,
  };
  // Hashes do not compress; entries shrink to a tenth.
  if (wanted.level !== 'entries' || !/\bgzip\b/.test(c.req.header('accept-encoding') ?? ''))
    return new Response(Buffer.from(content.value), { status: 200, headers });
  headers['content-encoding'] = 'gzip';
  headers.vary = 'accept-encoding';
  return new Response(await promisify(gzip)(content.value), { status: 200, headers });
}
