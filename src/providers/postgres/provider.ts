import type { ProviderKind } from '../provider.ts';
import { Connections } from './connections.ts';
import { createEnd } from './end-together.ts';
import { extend } from './extend.ts';
import { inventory } from './inventory.ts';
import { LONGEST_TTL_SECONDS, SHORTEST_TTL_SECONDS } from './limits.ts';
import { mint } from './mint.ts';
import { observe } from './observe.ts';
import { refuseScope } from './refusals.ts';
import { selfTest } from './self-test.ts';
import { type PostgresScope, type PostgresSettings, scopeSchema, settingsSchema } from './settings.ts';
import { identifier, literal, plain } from './sql.ts';

/** PostgreSQL 14 and later: each lease is a login role of its own. See README.md beside this file. */
export const provider: ProviderKind<PostgresSettings, PostgresScope> = {
  kind: 'postgres',
  settings: settingsSchema,
  scope: scopeSchema,
  ttl: { shortestSeconds: SHORTEST_TTL_SECONDS, longestSeconds: LONGEST_TTL_SECONDS },
  targetExpires: true,
  settles: 'from-lease-id',
  templating: {
    filters: { identifier, literal, plain },
    // In SQL text there is no way of quoting that is right everywhere; elsewhere the provider quotes the whole value.
    defaultFilter: ([first]) => (first === 'statements' ? null : 'plain'),
  },
  refuseScope,
  open(settings, { runtime, mark }) {
    const connections = new Connections(settings);
    const context = { runtime, settings, connections, mark };
    return {
      ends: 'confirmed',
      mint: (scope, terms, signal) => mint(context, scope, terms, signal),
      end: createEnd(context),
      extend: (ending, expiresAt, signal) => extend(context, ending, expiresAt, signal),
      inventory: (signal) => inventory(connections, settings.database, mark, signal),
      observe: (signal) => observe(connections, settings.database, mark, signal),
      selfTest: (signal, scopes) => selfTest(context, scopes ?? [], signal),
      close: () => connections.close(),
    };
  },
};
