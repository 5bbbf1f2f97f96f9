import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { entryText } from '../../src/audit/entry.ts';
import type { AuditEvent } from '../../src/audit/event.ts';
import { createLives } from '../../src/audit/life.ts';
import { redactClaims } from '../../src/audit/redact.ts';
import { eventSchema, eventTable } from '../../src/audit/schema.ts';
import { configurationEvent } from '../../src/store/configuration.ts';
import { anyStore } from '../support/stores.ts';
import { logWorld } from './world.ts';

const store = await anyStore();
afterAll(() => store.stop());

const opened = (over: object): AuditEvent => ({
  v: 1,
  id: '01hzzzzzzzzzzzzzzzzzzzzzzz',
  at: '2026-03-01T12:00:00.000Z',
  kind: 'task.opened',
  actor: { kind: 'principal', issuer: 'ci', subject: 'job' },
  about: { task: 'a' },
  data: {
    name: 'nightly',
    purpose: null,
    parameters: {},
    grantVersion: 'v',
    taskGrant: null,
    claims: {},
    proof: { method: 'oidc', evidence: 'hash' },
    request: 'digest',
    ...over,
  },
});

test('eventTable: README.md shows the table of all kinds', () => {
  const readme = readFileSync(join(import.meta.dirname, '../../src/audit/README.md'), 'utf8');
  expect(readme).toContain(`<!-- events -->\n${eventTable()}\n<!-- /events -->`);
});

test('eventSchema: takes what the broker logs, and nothing that is bent', async () => {
  const database = await store.open();
  const world = await logWorld(database);
  await world.live(1);
  const events = await world.hallpass.events();
  for (const event of events) expect(eventSchema.safeParse(event).error).toBeUndefined();
  const [event] = events;
  for (const bent of [
    { ...event, v: 2 },
    { ...event, kind: 'task.vanished' },
    { ...event, kind: 'toString' },
    { ...event, data: { ...event!.data, more: 1 } },
    { ...event, data: {} },
    { ...event, extra: true },
  ])
    expect(eventSchema.safeParse(bent).success).toBe(false);
  await database.close();
});

test('entryText: an event that is too long for the log keeps all but its longest members', () => {
  const event = opened({ parameters: { long: 'x'.repeat(60_000) }, claims: { also: 'y'.repeat(10_000) } });
  const text = entryText(event);
  expect(Buffer.byteLength(text)).toBeLessThan(65_536);
  const kept = JSON.parse(text);
  expect(kept.data.parameters).toEqual({ omitted: { bytes: 60_011, sha256: expect.any(String) } });
  expect(kept.data.claims).toEqual({ also: 'y'.repeat(10_000) });
  expect(eventSchema.safeParse(kept).error).toBeUndefined();
  const short = opened({});
  expect(entryText(short)).toBe(JSON.stringify(short));
});

test('redactClaims: sensitive values are hashed, and equal ones stay equal', () => {
  const claims = { email: 'ada@example.com', repository: 'etl' };
  const redacted = redactClaims(claims, new Set(['email'])) as Record<string, unknown>;
  expect(redacted).toEqual({ email: { sha256: expect.any(String) }, repository: 'etl' });
  expect(JSON.stringify(redacted)).not.toContain('ada');
  expect(redactClaims({ ...claims }, new Set(['email']))).toEqual(redacted);
  expect(redactClaims({ email: 'eve@example.com' }, new Set(['email']))).not.toEqual({
    email: redacted.email,
  });
});

test('redactClaims: a claim within a sensitive one, or around it, is hashed as well', () => {
  const sensitive = new Set(['kubernetes.io/pod', 'groups']);
  const claims = {
    'kubernetes.io/pod/name': 'ada-0',
    'kubernetes.io': { pod: { name: 'ada-0' } },
    'groups/0': 'ada',
    'kubernetes.io/namespace': 'etl',
    kubernetes: 'x',
  };
  const redacted = redactClaims(claims, sensitive);
  expect(JSON.stringify(redacted)).not.toContain('ada');
  expect(redacted).toMatchObject({ 'kubernetes.io/namespace': 'etl', kubernetes: 'x' });
});

test('configurationEvent: says by name what changed, and nothing when nothing did', () => {
  const before = { digest: 'a', parts: { 'grants.one': '1', 'grants.two': '2', broker: 'b' } };
  const after = { digest: 'b', parts: { 'grants.one': '1', 'grants.two': '3', 'targets.x': '4' } };
  expect(configurationEvent(before, after)).toMatchObject({
    kind: 'configuration.loaded',
    data: { digest: 'b', before: 'a', added: ['targets.x'], changed: ['grants.two'], removed: ['broker'] },
  });
  expect(configurationEvent(after, after)).toBeNull();
  expect(configurationEvent(null, after)).toMatchObject({
    data: { before: null, added: ['grants.one', 'grants.two', 'targets.x'] },
  });
});

test('createLives: an event that its lease or task cannot have is a fault, in words', () => {
  const event = (kind: string, about: object, data: object = {}) =>
    ({ ...opened({}), kind, about, data }) as unknown as AuditEvent;
  const about = { task: 't', lease: 'l' };
  const story: readonly (readonly [string, object, object, string | null])[] = [
    ['lease.intended', about, {}, 'without an open task'],
    ['task.opened', { task: 't' }, {}, null],
    ['task.opened', { task: 't' }, {}, 'opened twice'],
    ['lease.intended', { task: 't', lease: 'm' }, {}, null],
    ['lease.intended', { task: 't', lease: 'm' }, {}, 'began twice'],
    ['lease.renewed', { lease: 'm' }, {}, 'was minting'],
    ['lease.issued', { lease: 'm' }, {}, null],
    ['lease.issued', { lease: 'm' }, {}, 'was active'],
    ['lease.ended', { lease: 'm' }, { outcome: 'revoked' }, 'was active'],
    ['lease.ending', { lease: 'm' }, {}, null],
    ['lease.end-failed', { lease: 'm' }, {}, null],
    ['lease.ended', { lease: 'm' }, { outcome: 'never-minted' }, 'cannot be never-minted'],
    ['lease.ended', { lease: 'm' }, { outcome: 'revoked' }, 'had ended'],
    ['lease.ended', { lease: 'l' }, { outcome: 'expired' }, 'never began to end'],
    ['task.ended', { task: 't' }, {}, null],
    ['task.ended', { task: 't' }, {}, 'was not open'],
    ['lease.intended', { task: 't', lease: 'n' }, {}, 'without an open task'],
    ['request.refused', { task: 't' }, {}, null],
  ];
  const lives = createLives();
  for (const [kind, subject, data, fault] of story) {
    const found = lives.next(event(kind, subject, data));
    if (fault === null) expect(found, kind).toBeNull();
    else expect(found, kind).toContain(fault);
  }
});
