import { bigint, boolean, customType, integer, jsonb, pgTable, text } from 'drizzle-orm/pg-core';
import type { EndReason, Outcome } from '../audit/event.ts';
import type { Confirmation, Principal } from '../identity/attestor.ts';
import type { Json } from '../json.ts';
import type { FallbackRow, Identity, LeaseUse, RequestRow, ReviewRow } from './rows.ts';

/** The tables of migrations/, as drizzle reads them. The migrations are the truth; a test compares the two. */

/** `timestamptz` as milliseconds since the epoch. */
const instant = customType<{ data: number; driverData: string | number }>({
  dataType: () => 'timestamptz',
  fromDriver: (value) => (typeof value === 'number' ? value : Date.parse(value)),
  toDriver: (value) => new Date(value).toISOString(),
});

export const task = pgTable('task', {
  id: text().primaryKey(),
  version: integer().notNull(),
  state: text().$type<'open' | 'ended'>().notNull(),
  grant: text('grant_name').notNull(),
  grantVersion: text('grant_version').notNull(),
  taskGrantId: text('task_grant_id'),
  name: text().notNull(),
  purpose: text(),
  parameters: jsonb().$type<Readonly<Record<string, Json>>>().notNull(),
  issuer: text().notNull(),
  subject: text().notNull(),
  principal: jsonb().$type<Principal>().notNull(),
  tokenHash: text('token_hash').notNull(),
  sealedToken: text('sealed_token'),
  publicKey: jsonb('public_key').$type<Json>(),
  idempotencyKey: text('idempotency_key'),
  requestDigest: text('request_digest').notNull(),
  openedAt: instant('opened_at').notNull(),
  expiresAt: instant('expires_at').notNull(),
  heartbeatSeconds: integer('heartbeat_seconds'),
  heartbeatDueAt: instant('heartbeat_due_at'),
  endedAt: instant('ended_at'),
  endReason: text('end_reason').$type<EndReason>(),
  exitStatus: integer('exit_status'),
  cnf: jsonb().$type<Confirmation>(),
  ticket: text(),
  practice: boolean().notNull(),
});

export const lease = pgTable('lease', {
  id: text().primaryKey(),
  taskId: text('task_id').notNull(),
  version: integer().notNull(),
  state: text().$type<'minting' | 'active' | 'ending' | 'ended'>().notNull(),
  credential: text().notNull(),
  grant: text('grant_name').notNull(),
  target: text().notNull(),
  provider: text().notNull(),
  name: text().notNull(),
  issuer: text().notNull(),
  subject: text().notNull(),
  scope: jsonb().$type<Json>().notNull(),
  counted: boolean().notNull(),
  createdAt: instant('created_at').notNull(),
  issuedAt: instant('issued_at'),
  expiresAt: instant('expires_at').notNull(),
  capAt: instant('cap_at').notNull(),
  dueAt: instant('due_at'),
  handle: jsonb().$type<Json>(),
  sealed: text(),
  endReason: text('end_reason').$type<EndReason>(),
  endingSince: instant('ending_since'),
  attempts: integer().notNull(),
  lastError: text('last_error'),
  endedAt: instant('ended_at'),
  outcome: text().$type<Outcome>(),
  evidence: jsonb().$type<Json>(),
  use: jsonb().$type<LeaseUse>(),
});

export const taskGrant = pgTable('task_grant', {
  id: text().primaryKey(),
  grant: text('grant_name').notNull(),
  grantVersion: text('grant_version').notNull(),
  cut: jsonb().$type<Json>().notNull(),
  createdBy: jsonb('created_by').$type<{ readonly issuer: string; readonly subject: string }>().notNull(),
  createdAt: instant('created_at').notNull(),
  expiresAt: instant('expires_at').notNull(),
  uses: integer().notNull(),
});

export const quota = pgTable('quota', {
  key: text().primaryKey(),
  live: integer().notNull(),
  total: integer().notNull(),
  hour: instant().notNull(),
  issued: integer().notNull(),
  issuedPrevious: integer('issued_previous').notNull(),
});

export const auditEvent = pgTable('audit_event', {
  seq: bigint({ mode: 'number' }).notNull(),
  id: text().notNull(),
  at: instant().notNull(),
  kind: text().notNull(),
  taskId: text('task_id'),
  leaseId: text('lease_id'),
  grant: text('grant_name'),
  target: text(),
  issuer: text(),
  subject: text(),
  outcome: text(),
  body: text().notNull(),
});

export const kill = pgTable('kill', {
  id: text().primaryKey(),
  orderedAt: instant('ordered_at').notNull(),
  orderedBy: jsonb('ordered_by').$type<{ readonly issuer: string; readonly subject: string }>().notNull(),
  reason: text().notNull(),
  issuer: text(),
  subject: text(),
  grant: text('grant_name'),
  target: text(),
  task: text('task_id'),
  tasks: integer().notNull(),
  leases: integer().notNull(),
  markedAt: instant('marked_at'),
  liftedAt: instant('lifted_at'),
  liftedBy: jsonb('lifted_by').$type<{ readonly issuer: string; readonly subject: string }>(),
  liftReason: text('lift_reason'),
  liftsAt: instant('lifts_at'),
});

export const approvalRequest = pgTable('approval_request', {
  id: text().primaryKey(),
  version: integer().notNull(),
  state: text().$type<RequestRow['state']>().notNull(),
  digest: text().notNull(),
  grant: text('grant_name').notNull(),
  issuer: text().notNull(),
  subject: text().notNull(),
  ask: jsonb().$type<RequestRow['ask']>().notNull(),
  requester: jsonb().$type<RequestRow['requester']>().notNull(),
  approvals: jsonb().$type<RequestRow['approvals']>().notNull(),
  createdAt: instant('created_at').notNull(),
  expiresAt: instant('expires_at').notNull(),
  reason: text(),
  taskId: text('task_id'),
});

export const breakGlassReview = pgTable('break_glass_review', {
  id: text().primaryKey(),
  version: integer().notNull(),
  state: text().$type<ReviewRow['state']>().notNull(),
  grant: text('grant_name').notNull(),
  taskId: text('task_id').notNull(),
  issuer: text().notNull(),
  subject: text().notNull(),
  person: jsonb().$type<ReviewRow['person']>().notNull(),
  people: jsonb().$type<ReviewRow['people']>().notNull(),
  practice: boolean().notNull(),
  purpose: text().notNull(),
  ticket: text(),
  openedAt: instant('opened_at').notNull(),
  dueAt: instant('due_at').notNull(),
  closedAt: instant('closed_at'),
  closedBy: jsonb('closed_by').$type<{ readonly issuer: string; readonly subject: string }>(),
  finding: text(),
});

export const kit = pgTable('kit', {
  id: text().primaryKey(),
  sealedAt: instant('sealed_at').notNull(),
  sealedBy: jsonb('sealed_by').$type<Identity>().notNull(),
  logKey: text('log_key').notNull(),
  threshold: integer().notNull(),
  holders: jsonb().$type<readonly string[]>().notNull(),
  grants: jsonb().$type<readonly string[]>().notNull(),
  expiresAt: instant('expires_at').notNull(),
});

export const fallback = pgTable('fallback', {
  issuer: text().primaryKey(),
  version: integer().notNull(),
  standsFor: text('stands_for').notNull(),
  state: text().$type<FallbackRow['state']>().notNull(),
  reachedAt: instant('reached_at'),
  failingSince: instant('failing_since'),
  lookedAt: instant('looked_at').notNull(),
});

export const signingKey = pgTable('signing_key', {
  kid: text().primaryKey(),
  algorithm: text().$type<'ES256' | 'RS256'>().notNull(),
  generation: integer().notNull(),
  publicKey: jsonb('public_key').$type<Json>().notNull(),
  sealed: text().notNull(),
  createdAt: instant('created_at').notNull(),
  signsFrom: instant('signs_from').notNull(),
});

export const session = pgTable('session', {
  id: text().primaryKey(),
  tokenHash: text('token_hash').notNull(),
  issuer: text().notNull(),
  subject: text().notNull(),
  principal: jsonb().$type<Principal>().notNull(),
  beganAt: instant('began_at').notNull(),
  expiresAt: instant('expires_at').notNull(),
  endsAt: instant('ends_at').notNull(),
});
