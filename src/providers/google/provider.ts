import type { ProviderKind } from '../provider.ts';
import { connect } from './connection.ts';
import { LONGEST_EXTENDED_TTL_SECONDS, SHORTEST_TTL_SECONDS } from './limits.ts';
import { mint } from './mint.ts';
import { selfTest } from './self-test.ts';
import { type GoogleScope, type GoogleSettings, scopeSchema, settingsSchema } from './settings.ts';

/** Google Cloud: access and ID tokens of service accounts, which only lapse. See README.md beside this file. */
export const provider: ProviderKind<GoogleSettings, GoogleScope> = {
  kind: 'google',
  settings: settingsSchema,
  scope: scopeSchema,
  ttl: { shortestSeconds: SHORTEST_TTL_SECONDS, longestSeconds: LONGEST_EXTENDED_TTL_SECONDS },
  targetExpires: true,
  settles: 'bounded-by-ttl',
  templating: {
    filters: { segment, literal },
    // Within the text of a condition there is no way of quoting but that of its language.
    defaultFilter: (path) => (path.at(-1) === 'expression' ? 'literal' : 'segment'),
  },
  open(settings, targetContext) {
    const { runtime, target, mark } = targetContext;
    const connection = connect(settings, targetContext);
    const context = { runtime, settings, connection };
    return {
      ends: 'expiry-only',
      mint: (scope, terms, signal) => mint(context, scope, terms, signal),
      selfTest: (signal, scopes) => selfTest(context, target, mark, scopes ?? [], signal),
      close: () => connection.close(),
    };
  },
};

/** A value that stays within one part of a name. */
function segment(value: string): string {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(value)) return value;
  throw new RangeError('must be 1 to 128 of A-Z a-z 0-9 _ . - and begin with a letter, a digit or "_"');
}

/** A string literal of the Common Expression Language, quotes and all. */
function literal(value: string): string {
  if (/[\p{C}\ud800-\udfff]/u.test(value)) throw new RangeError('must not have control characters');
  return `'${value.replaceAll(/[\\'"`]/g, '\\$&')}'`;
}
