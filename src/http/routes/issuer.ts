import { createRoute } from '@hono/zod-openapi';
import { jsonResponse, observed } from '../observe.ts';
import type { System } from './system.ts';

/** The documents by which others learn to trust the broker's own identity tokens. */
export interface PublishedIssuer {
  readonly url: string;
  discovery(): unknown;
  jwks(): unknown;
}

/** How long they may be kept: new keys are published a day before they are used. */
const CACHE_CONTROL = 'public, max-age=300';

/**
 * OpenID Connect Discovery 1.0, section 4: below the issuer's URL, path and all. They are served at the root too, for a
 * proxy that takes the path away.
 */
export function addIssuerRoutes(system: System, issuer: PublishedIssuer): void {
  const { pathname } = new URL(issuer.url);
  for (const prefix of new Set(['', pathname.replace(/\/+$/, '')])) {
    add(system, `${prefix}/.well-known/openid-configuration`, 'The broker as an issuer', () =>
      issuer.discovery(),
    );
    add(system, `${prefix}/.well-known/jwks.json`, 'Its public keys', () => issuer.jwks());
  }
}

function add(system: System, path: string, summary: string, document: () => unknown): void {
  system.app.openAPIRegistry.registerPath(
    createRoute({
      operationId: path.slice(1).replaceAll(/[^A-Za-z0-9]+/g, '_'),
      method: 'get',
      path,
      tags: ['System'],
      summary,
      responses: { 200: { description: summary, content: { 'application/json': {} } } },
    }),
  );
  system.app.get(
    path,
    observed(system, path, (_c, exchange) => {
      const response = jsonResponse(200, document(), exchange);
      response.headers.set('cache-control', CACHE_CONTROL);
      return response;
    }),
  );
}
