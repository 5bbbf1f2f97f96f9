import type { AuditEvent, EventKind } from '../audit/event.ts';
import type { OcsfEvent } from './sink.ts';

/** The version of OCSF whose classes these are. */
const OCSF_VERSION = '1.5.0';

/** Class, activity and severity of each kind. https://schema.ocsf.io/1.5.0/classes */
const CLASSES: Readonly<Record<EventKind, readonly [number, number, number]>> = {
  'broker.started': [6002, 3, 1], // Application Lifecycle: Start
  'configuration.loaded': [6003, 3, 2], // API Activity: Update
  'approval.weakened': [6003, 3, 4],
  'log.key-added': [6003, 1, 2], // API Activity: Create
  'log.went-back': [6003, 99, 5], // API Activity: Other, critical
  'request.refused': [6003, 99, 2],
  'task.opened': [3003, 1, 1], // Authorize Session: Assign Privileges
  'task.extended': [3003, 1, 1],
  'task.heartbeat-missed': [3003, 99, 2],
  'task.ended': [3003, 99, 1],
  'lease.intended': [3001, 99, 1], // Account Change
  'lease.issued': [3005, 1, 1], // User Access Management: Assign Privileges
  'lease.redelivered': [3005, 99, 1],
  'lease.mint-failed': [3001, 99, 3],
  'lease.renewed': [3005, 99, 1],
  'lease.ending': [3005, 99, 1],
  'lease.end-failed': [3005, 99, 3],
  'lease.ended': [3005, 2, 1], // User Access Management: Revoke Privileges
  'credential.used': [3002, 1, 1], // Authentication: Logon
  'orphan.found': [3001, 99, 4],
  'orphan.ended': [3001, 6, 2], // Account Change: Delete
  'task-grant.created': [6003, 1, 1],
  'kill.ordered': [6003, 1, 4],
  'kill.marked': [6003, 99, 2],
  'block.lifted': [6003, 3, 3],
  'request.created': [6003, 1, 1],
  'request.approved': [6003, 3, 1],
  'request.auto-approved': [6003, 3, 2],
  'request.denied': [6003, 3, 2],
  'request.cancelled': [6003, 3, 1],
  'request.expired': [6003, 3, 1],
  'request.redeemed': [6003, 3, 1],
  'breakglass.opened': [3003, 1, 5], // Authorize Session: Assign Privileges, critical
  'review.due': [6003, 99, 4],
  'review.closed': [6003, 3, 2],
  'fallback.opened': [6003, 99, 4],
  'fallback.closed': [6003, 99, 2],
  'fallback.used': [3002, 1, 4], // Authentication: Logon
  'kit.sealed': [6003, 1, 3],
  'offline.replayed': [6003, 99, 4],
  'kit.code-reused': [3002, 99, 5],
  'notification.failed': [6003, 99, 3],
  'signin.succeeded': [3002, 1, 1], // Authentication: Logon
  'signin.refused': [3002, 1, 2],
  'signin.ended': [3002, 2, 1], // Authentication: Logoff
  disclosed: [6003, 2, 1], // API Activity: Read
};

const FAILURES: ReadonlySet<EventKind> = new Set([
  'log.went-back',
  'request.refused',
  'signin.refused',
  'lease.mint-failed',
  'lease.end-failed',
  'notification.failed',
]);

/** Authentication: Logon. What a stranger is refused is one that failed. */
const AUTHENTICATION = [3002, 1, 2] as const;

/** An event of ours as an OCSF event, with the entry itself as its raw data, so that an export can be verified. */
export function ocsfEvent(index: number, body: string, origin: string): OcsfEvent {
  const event = JSON.parse(body) as AuditEvent;
  const { kind, actor, about, data } = event;
  const stranger = event.kind === 'request.refused' && event.data.reason === 'unauthenticated';
  // A kind that a newer version wrote.
  const known = Object.hasOwn(CLASSES, kind) ? CLASSES[kind] : ([6003, 99, 1] as const);
  const [class_uid, activity_id, usual] = stranger ? AUTHENTICATION : known;
  const overdue = event.kind === 'lease.end-failed' && event.data.overdue;
  return {
    activity_id,
    category_uid: Math.floor(class_uid / 1000),
    class_uid,
    type_uid: class_uid * 100 + activity_id,
    severity_id: overdue ? 4 : usual,
    status_id: FAILURES.has(kind) ? 2 : 1,
    time: Date.parse(event.at),
    message: kind,
    metadata: {
      version: OCSF_VERSION,
      product: { name: 'Hallpass', vendor_name: 'Hallpass' },
      uid: event.id,
      log_name: origin,
      sequence: index,
      event_code: kind,
    },
    actor:
      actor.kind === 'principal'
        ? { user: { name: actor.subject, uid: actor.subject, domain: actor.issuer } }
        : { app_name: 'hallpass' },
    ...(about.task === undefined ? {} : { session: { uid: about.task } }),
    ...(event.kind === 'credential.used' && event.data.address !== null
      ? { src_endpoint: { ip: event.data.address } }
      : {}),
    ...(about.target === undefined ? {} : { dst_endpoint: { name: about.target } }),
    ...(about.lease === undefined ? {} : { user: { uid: about.lease, credential_uid: about.lease } }),
    unmapped: { about, data },
    raw_data: body,
  };
}
