import { timingSafeEqual } from 'node:crypto';
import type { PrincipalMatcher } from '../grants/grant.ts';
import { matchesPrincipal } from '../grants/principal.ts';
import { sha256, storable } from '../json.ts';
import { ok, type Result } from '../result.ts';
import { ID_PATTERN } from '../runtime.ts';
import { leasesByIds, leasesOfAccount } from '../store/leases.ts';
import type { LeaseRow } from '../store/rows.ts';
import { readCloudTrail } from '../trails/cloudtrail.ts';
import { readGoogleAudit } from '../trails/google-audit.ts';
import type { TrailCredential, TrailType, TrailUse } from '../trails/trail.ts';
import type { Broker } from './broker.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import { recordUse } from './use.ts';
import type { Caller } from './verbs.ts';

/** An audit trail of a cloud that is delivered here. */
export interface Trail {
  readonly name: string;
  readonly type: TrailType;
  /** Those of whose leases it may tell. */
  readonly targets: ReadonlySet<string>;
  /** What its deliveries bear: a secret, as its SHA-256, or the token of somebody. */
  readonly from:
    | { readonly secretHash: string; readonly who?: never }
    | { readonly who: PrincipalMatcher; readonly secretHash?: never };
}

/** What a delivery bears. */
export type TrailBearer = { readonly secret: string } | { readonly caller: Caller };

/** Leases that one call by a token of an account can be of, at most; what is beyond is not told. */
const MAX_CANDIDATES = 100;

/**
 * Takes one event of a trail: it is written to the leases whose credential it shows in use. Answers how many these
 * are: 0 for an event that is of nothing of ours. A delivery may come twice. `overloaded` when it could not be written,
 * and should come again.
 */
export async function deliverTrail(
  broker: Broker,
  name: string,
  bearer: TrailBearer,
  body: unknown,
): Promise<Result<number, Refusal>> {
  const trail = broker.trails?.get(name);
  if (trail === undefined || !isBearer(trail, bearer)) {
    const caller = 'caller' in bearer ? bearer.caller : null;
    const detail =
      trail === undefined ? 'there is no trail of this name' : `not the bearer of trail "${name}"`;
    return refuse(broker, caller, {}, 'deliver-trail', { reason: 'unauthenticated', detail });
  }
  const use = trail.type === 'cloudtrail' ? readCloudTrail(body) : readGoogleAudit(body);
  if (use === null) return ok(0);
  const leases = await leasesOf(broker, trail, use);
  const seen = { ...seenIn(trail, use), ...(isShared(use.credential) ? { mayBeOf: leases.length } : {}) };
  const written = await Promise.all(leases.map((lease) => recordUse(broker, lease, [seen])));
  if (written.every((one) => one)) return ok(leases.length);
  return { ok: false, error: { reason: 'overloaded', detail: 'A lease is changing', retryAfterMs: 5_000 } };
}

function isBearer({ from }: Trail, bearer: TrailBearer): boolean {
  if ('secret' in bearer) {
    const { secretHash } = from;
    return (
      secretHash !== undefined && timingSafeEqual(Buffer.from(sha256(bearer.secret)), Buffer.from(secretHash))
    );
  }
  const { caller } = bearer;
  return (
    from.who !== undefined && caller.kind === 'principal' && matchesPrincipal(from.who, caller.principal)
  );
}

function isShared(credential: TrailCredential): boolean {
  return credential.kind === 'account';
}

function seenIn(trail: Trail, { event, at, action, address, application, error }: TrailUse) {
  const text = (value: string | null) => (value === null ? null : String(storable(value)));
  return {
    at,
    since: null,
    address: text(address),
    application: text(application),
    trail: {
      name: trail.name,
      event: String(text(event)),
      action: String(text(action)),
      error: text(error),
    },
  };
}

async function leasesOf(broker: Broker, trail: Trail, use: TrailUse): Promise<LeaseRow[]> {
  const { credential, at } = use;
  if (credential.kind === 'account')
    return leasesOfAccount(broker.database, [...trail.targets], credential.account, at, MAX_CANDIDATES);
  const id = idOf(broker, credential.sourceIdentity) ?? idOf(broker, credential.session);
  if (id === null) return [];
  const rows = await leasesByIds(broker.database, [id]);
  return rows.filter(
    (lease) =>
      lease.state !== 'minting' &&
      trail.targets.has(lease.target) &&
      (idOf(broker, credential.sourceIdentity) !== null || isOfRole(lease, credential.roleArn)),
  );
}

/** The lease whose name this is. */
function idOf({ mark }: Broker, name: string | null): string | null {
  const id = name?.startsWith(mark) ? name.slice(mark.length) : '';
  return ID_PATTERN.test(id) ? id : null;
}

/** Whoever may assume any role can choose any session name: without a source identity only the lease's own role counts. */
function isOfRole({ handle }: LeaseRow, roleArn: string | null): boolean {
  if (handle === null || typeof handle !== 'object' || !('role_arn' in handle)) return false;
  return handle.role_arn === roleArn;
}
