import type { ProviderKind } from '../provider.ts';
import { connect } from './connection.ts';
import { end } from './end.ts';
import { LONGEST_TTL_SECONDS, SHORTEST_TTL_SECONDS } from './limits.ts';
import { mint } from './mint.ts';
import { selfTest } from './self-test.ts';
import { scopeSchema, settingsSchema, type VaultScope, type VaultSettings } from './settings.ts';

/** HashiCorp Vault and OpenBao: each lease is a token of its own, and what was read with it. See README.md beside this file. */
export const provider: ProviderKind<VaultSettings, VaultScope> = {
  kind: 'vault',
  settings: settingsSchema,
  scope: scopeSchema,
  ttl: { shortestSeconds: SHORTEST_TTL_SECONDS, longestSeconds: LONGEST_TTL_SECONDS },
  targetExpires: true,
  settles: 'bounded-by-ttl',
  templating: {
    filters: { segment, plain },
    defaultFilter: ([first, , third]) => (first === 'secrets' && third === 'data' ? 'plain' : 'segment'),
  },
  refuseScope,
  open(settings, targetContext) {
    const { runtime, mark } = targetContext;
    const connection = connect(settings, targetContext);
    const context = { runtime, settings, connection };
    return {
      ends: 'confirmed',
      mint: (scope, terms, signal) => mint(context, scope, terms, signal),
      end: (ending, signal) => end(context, ending, signal),
      selfTest: (signal, scopes) => selfTest(context, mark, scopes ?? [], signal),
      close: () => connection.close(),
    };
  },
};

/** A value that stays within one part of a path, and within the name of a policy. */
function segment(value: string): string {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(value)) return value;
  throw new RangeError('must be 1 to 128 of A-Z a-z 0-9 _ . - and begin with a letter, a digit or "_"');
}

/** A value with a slash in it would lead to another path: what is filled in there stays one segment. */
function refuseScope(scope: unknown): readonly string[] {
  const { policies, secrets } = (scope ?? {}) as { readonly policies?: unknown; readonly secrets?: object };
  const places = [policies, ...Object.values(secrets ?? {}).map((secret) => secret?.path)];
  return places
    .filter((place) => /\{\{[^}]*\|\s*plain\b/.test(JSON.stringify(place) ?? ''))
    .map((place) => `Cannot fill ${JSON.stringify(place)} with plain: write segment, or no filter`);
}

/** A value that goes into the data of a write, where it is a JSON string of its own. */
function plain(value: string): string {
  return value;
}
