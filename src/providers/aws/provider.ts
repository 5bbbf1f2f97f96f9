import type { ProviderKind } from '../provider.ts';
import { createClients } from './clients.ts';
import { end, tidy } from './end.ts';
import { LONGEST_SESSION_SECONDS, SHORTEST_TTL_SECONDS } from './limits.ts';
import { mint } from './mint.ts';
import { refuseScope } from './refusals.ts';
import { type AwsScope, scopeSchema } from './scope.ts';
import { selfTest } from './self-test.ts';
import { type AwsSettings, cautions, settingsSchema } from './settings.ts';
import { templating } from './templating.ts';

/** AWS: each lease is a session of a role. See README.md beside this file. */
export const provider: ProviderKind<AwsSettings, AwsScope> = {
  kind: 'aws',
  settings: settingsSchema,
  scope: scopeSchema,
  ttl: { shortestSeconds: SHORTEST_TTL_SECONDS, longestSeconds: LONGEST_SESSION_SECONDS },
  targetExpires: true,
  // STS lists no sessions: what nobody received lapses.
  settles: 'bounded-by-ttl',
  templating,
  refuseScope,
  cautions,
  open(settings, target) {
    const clients = createClients(settings, target);
    const context = { settings, target, clients };
    const base = {
      mint: (scope: AwsScope, terms: Parameters<typeof mint>[2], signal: AbortSignal) =>
        mint(context, scope, terms, signal),
      selfTest: (signal: AbortSignal, scopes?: readonly unknown[]) => selfTest(context, scopes ?? [], signal),
      close: async () => clients.close(),
    };
    const { denial } = settings;
    if (denial === undefined) return { ...base, ends: 'expiry-only' };
    const denying = { ...context, denial };
    return {
      ...base,
      ends: 'denied',
      end: (ending, signal) => end(denying, ending, signal),
      tidy: (signal) => tidy(denying, signal),
    };
  },
};
