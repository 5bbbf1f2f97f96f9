import { createHash } from 'node:crypto';
import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import type { ZodType } from 'zod';
import { health, readiness } from '../contract.ts';
import { type DocsPage, renderDocs } from '../docs.ts';
import {
  type Exchange,
  type HttpEnv,
  jsonResponse,
  type Observer,
  observed,
  textResponse,
} from '../observe.ts';

/** Whether the broker can serve, and why not. */
export interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

export interface System extends Observer {
  readonly app: OpenAPIHono<HttpEnv>;
  readonly version: string;
  readonly ready: () => Promise<Readiness>;
}

/** What needs no caller: health, metrics, and the API's own description. */
export function addSystemRoutes(system: System): void {
  const { app, metrics, version } = system;
  const document = once(() => openApiDocument(app, version));
  const page = once(() => renderDocs(document()));

  addPlain(system, '/healthz', 'Is the process alive?', 'application/json', health, async (exchange) =>
    jsonResponse(200, { status: 'ok', version }, exchange),
  );
  addPlain(system, '/readyz', 'Can it serve?', 'application/json', readiness, async (exchange) => {
    const { ready, reasons } = await system.ready();
    return jsonResponse(ready ? 200 : 503, { ready, reasons }, exchange);
  });
  addPlain(system, '/metrics', 'Figures for Prometheus', 'text/plain', null, async (exchange) => {
    const { contentType, text } = await metrics.exposition();
    return textResponse(text, contentType, exchange);
  });
  addPlain(system, '/openapi.json', 'This document', 'application/json', null, (exchange) =>
    jsonResponse(200, document(), exchange),
  );
  addPlain(system, '/docs', 'This document, for people', 'text/html', null, (exchange) =>
    htmlResponse(page(), exchange),
  );
}

function addPlain(
  system: System,
  path: string,
  summary: string,
  contentType: string,
  schema: ZodType | null,
  serve: (exchange: Exchange) => Promise<Response> | Response,
): void {
  const answer = { description: summary, content: { [contentType]: schema ? { schema } : {} } };
  const unready = { 503: { ...answer, description: 'It cannot, for the reasons given' } };
  system.app.openAPIRegistry.registerPath(
    createRoute({
      operationId: path.slice(1).replace('.', '_'),
      method: 'get',
      path,
      tags: ['System'],
      summary,
      responses: { 200: answer, ...(path === '/readyz' ? unready : {}) },
    }),
  );
  system.app.get(
    path,
    observed(system, path, (_c, exchange) => serve(exchange)),
  );
}

function openApiDocument(app: OpenAPIHono<HttpEnv>, version: string) {
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    description: 'A token of a trusted issuer, or the token of a task for what is about that task',
  });
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Hallpass',
      version,
      description:
        'Just-in-time credentials for one task. Errors are problems (RFC 9457) with a stable `code`.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
  });
}

function htmlResponse({ html, style }: DocsPage, exchange: Exchange): Response {
  const hash = createHash('sha256').update(style).digest('base64');
  return textResponse(html, 'text/html; charset=utf-8', exchange, {
    'content-security-policy': `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    'referrer-policy': 'no-referrer',
  });
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
