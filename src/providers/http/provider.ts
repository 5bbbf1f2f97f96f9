import type { ProviderKind } from '../provider.ts';
import { connect } from './connection.ts';
import { LONGEST_TTL_SECONDS, SHORTEST_TTL_SECONDS } from './limits.ts';
import { end, extend, inventory, mint } from './operations.ts';
import { selfTest } from './self-test.ts';
import { type HttpScope, type HttpSettings, scopeSchema, settingsSchema } from './settings.ts';

/** A service of the operator's own, for what has no adapter: credentials by signed webhooks. See README.md beside this file. */
export const provider: ProviderKind<HttpSettings, HttpScope> = {
  kind: 'http',
  settings: settingsSchema,
  scope: scopeSchema,
  ttl: { shortestSeconds: SHORTEST_TTL_SECONDS, longestSeconds: LONGEST_TTL_SECONDS },
  // The protocol asks for it; whether the service sees to it, we cannot know.
  targetExpires: false,
  settles: 'from-lease-id',
  templating: { filters: { segment, plain: (value) => value }, defaultFilter: () => 'plain' },
  open(settings, targetContext) {
    const { runtime, mark } = targetContext;
    const connection = connect(settings, targetContext);
    const context = { runtime, connection };
    const target = {
      mint: (scope, terms, signal) => mint(context, scope, terms, signal),
      selfTest: (signal, scopes) => selfTest(context, settings, mark, scopes ?? [], signal),
      close: () => connection.close(),
    } satisfies Partial<ReturnType<ProviderKind<HttpSettings, HttpScope>['open']>>;
    if (settings.ends === 'expiry-only') return { ...target, ends: 'expiry-only' };
    return {
      ...target,
      ends: 'confirmed',
      end: (ending, signal) => end(context, ending, signal),
      ...(settings.extend
        ? { extend: (ending, expiresAt, signal) => extend(context, ending, expiresAt, signal) }
        : {}),
      ...(settings.inventory ? { inventory: (signal) => inventory(context, mark, signal) } : {}),
    };
  },
};

/** A value for a place where the service reads a path or a name. */
function segment(value: string): string {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(value)) return value;
  throw new RangeError('must be 1 to 128 of A-Z a-z 0-9 _ . - and begin with a letter, a digit or "_"');
}
