import type { Fault } from '../../src/grants/fault.ts';
import { printPath } from '../../src/grants/fault.ts';
import type { Ask, Grant } from '../../src/grants/grant.ts';
import { type GrantWorld, parseGrant } from '../../src/grants/parse.ts';
import type { Json } from '../../src/json.ts';
import type { ProviderKind } from '../../src/providers/provider.ts';
import { fakeProvider } from '../fakes/provider.ts';

export const NOON = Date.parse('2026-03-04T12:00:00Z');

export const world: GrantWorld = {
  issuers: new Map([
    ['github', { url: 'https://token.actions.githubusercontent.com' }],
    ['cluster', {}],
  ]),
  targets: new Map([
    [
      'warehouse',
      {
        kind: fakeProvider({ now: () => NOON, ttl: { shortestSeconds: 60, longestSeconds: 7200 } })
          .provider as unknown as ProviderKind,
        settings: {},
      },
    ],
  ]),
};

/** A sound grant; `changes` replace its members, and `undefined` takes them away. */
export function rawGrant(changes: Record<string, unknown> = {}): Json {
  const whole = {
    description: 'The nightly report',
    who: [{ issuer: 'github', claims: { repository_id: '42', ref: 'refs/heads/main' } }],
    tasks: ['nightly-report', { glob: 'backfill/*' }],
    parameters: {
      region: { type: 'string', enum: ['eu', 'us'], default: 'eu' },
      rows: { type: 'integer', min: 1, max: 100, required: false },
    },
    conditions: ['now.getHours("UTC") < 18'],
    credentials: {
      warehouse: {
        target: 'warehouse',
        ttl: { default: '10m', max: '1h', cap: '4h' },
        scope: { role: 'report_{{ parameters.region }}' },
      },
      lake: {
        target: 'warehouse',
        ttl: { max: '30m' },
        scope: { role: 'lake', statements: ['GRANT x TO {{ task | literal }}'] },
      },
    },
    limits: { live_leases: 10, issues_per_hour: 100 },
    heartbeat: '60s',
    task_grants: { max_age: '2h', max_uses: 3 },
    ...changes,
  };
  return Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== undefined)) as Json;
}

export function grantOf(changes: Record<string, unknown> = {}): Grant {
  const parsed = parseGrant('nightly', rawGrant(changes), world);
  if (!parsed.ok) throw new Error(lines(parsed.error).join('\n'));
  return parsed.value;
}

/** The faults of a grant, as `path: message`. */
export function faultsOf(changes: Record<string, unknown>): string[] {
  const parsed = parseGrant('nightly', rawGrant(changes), world);
  return parsed.ok ? [] : lines(parsed.error);
}

export function lines(faults: readonly Fault[]): string[] {
  return faults.map(({ path, message }) => `${printPath(path)}: ${message}`);
}

export function askOf(changes: Partial<Ask> & { claims?: Record<string, Json>; subject?: string } = {}): Ask {
  const { claims, subject, ...rest } = changes;
  return {
    principal: {
      issuer: 'github',
      subject: subject ?? 'repo:acme/reports:ref:refs/heads/main',
      claims: claims ?? { sub: 'x', repository_id: '42', ref: 'refs/heads/main', actor: 'mona' },
      proof: { method: 'oidc', evidenceHash: 'h', expiresAt: NOON + 60_000 },
    },
    task: 'nightly-report',
    purpose: null,
    ticket: null,
    parameters: {},
    credentials: null,
    ttlSeconds: null,
    now: NOON,
    ...rest,
  };
}
