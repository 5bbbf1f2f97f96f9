import type { OpenedTask } from '../../broker/verbs.ts';
import { instant } from '../../instant.ts';
import type { LeaseRow, TaskRow } from '../../store/rows.ts';
import { ACCESS_TOKEN, DETAILS_TYPE } from './exchange.ts';

/** What the OAuth endpoints answer. Instants are RFC 3339 inside `authorization_details`, seconds since the epoch outside. */

/** The answer of the token endpoint (RFC 8693, section 2.2.1), with what was granted, which is never more than was asked (RFC 9396, section 7). */
export function tokenJson({ task, token, sealedToken, credentials }: OpenedTask, now: number) {
  return {
    access_token: token ?? sealedToken ?? '',
    issued_token_type: ACCESS_TOKEN,
    token_type: tokenType(task),
    expires_in: Math.max(0, Math.floor((task.expiresAt - now) / 1000)),
    authorization_details: [
      {
        ...taskDetailsJson(task),
        ...(token === null ? { token_sealed: true } : {}),
        credentials: credentials.map(({ name, lease, secret, sealed }) => ({
          name,
          ...leaseDetailsJson(lease),
          ...(secret === null ? {} : { secret: { type: secret.type, values: { ...secret.values } } }),
          ...(sealed === null ? {} : { sealed }),
        })),
      },
    ],
  };
}

/** What a live token is good for (RFC 7662, section 2.2). No secret is in it. */
export function introspectionJson(task: TaskRow, leases: readonly LeaseRow[], url: string) {
  const { principal } = task;
  const act = actJson(principal.actors ?? []);
  return {
    active: true,
    iss: url,
    sub: principal.subject,
    identity: { issuer: principal.issuer, subject: principal.subject },
    ...(act === undefined ? {} : { act }),
    token_type: tokenType(task),
    jti: task.id,
    iat: Math.floor(task.openedAt / 1000),
    exp: Math.floor(task.expiresAt / 1000),
    ...(task.cnf === null ? {} : { cnf: task.cnf }),
    authorization_details: [
      {
        ...taskDetailsJson(task),
        credentials: leases.map((lease) => ({
          name: lease.credential,
          ...leaseDetailsJson(lease),
          state: lease.state,
        })),
      },
    ],
  };
}

function tokenType({ cnf }: TaskRow): 'Bearer' | 'DPoP' {
  return cnf?.jkt === undefined ? 'Bearer' : 'DPoP';
}

function taskDetailsJson(task: TaskRow) {
  return {
    type: DETAILS_TYPE,
    grant: task.grant,
    grant_version: task.grantVersion,
    task: task.name,
    task_id: task.id,
    ...(task.purpose === null ? {} : { purpose: task.purpose }),
    parameters: task.parameters,
    heartbeat_seconds: task.heartbeatSeconds,
  };
}

function leaseDetailsJson(lease: LeaseRow) {
  const expiresAt = instant(lease.expiresAt);
  return { lease_id: lease.id, target: lease.target, provider: lease.provider, expires_at: expiresAt };
}

/** RFC 8693, section 4.1: the nearest outermost. `iss` is the issuer's name in the broker's configuration. */
function actJson([actor, ...rest]: NonNullable<TaskRow['principal']['actors']>): Act | undefined {
  if (actor === undefined) return undefined;
  const act = actJson(rest);
  return { iss: actor.issuer, sub: actor.subject, ...(act === undefined ? {} : { act }) };
}

interface Act {
  readonly iss: string;
  readonly sub: string;
  readonly act?: Act;
}
