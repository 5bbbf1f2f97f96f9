import { createRoute } from '@hono/zod-openapi';
import { signIn } from '../contract.ts';
import { jsonResponse, observed } from '../observe.ts';
import type { System } from './system.ts';

/** Where, and as which client, people sign in at the command line. */
export interface CommandLineSignIn {
  readonly issuer: string;
  readonly clientId: string;
  readonly scope: string;
}

/** Where people sign in at the command line: nothing in it is secret, and whoever asks is not known yet. */
export function addSignInDiscovery(system: System, { issuer, clientId, scope }: CommandLineSignIn): void {
  const path = '/sign-in/cli';
  const summary = 'Where `hallpass login` signs people in';
  system.app.openAPIRegistry.registerPath(
    createRoute({
      operationId: 'signInForCommandLine',
      method: 'get',
      path,
      tags: ['System'],
      summary,
      responses: { 200: { description: summary, content: { 'application/json': { schema: signIn } } } },
    }),
  );
  system.app.get(
    path,
    observed(system, path, (_c, exchange) =>
      jsonResponse(200, { issuer, client_id: clientId, scope }, exchange),
    ),
  );
}
