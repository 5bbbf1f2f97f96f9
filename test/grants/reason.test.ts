import { expect, test } from 'vitest';
import { decide } from '../../src/grants/decide.ts';
import type { Ask } from '../../src/grants/grant.ts';
import { askOf, faultsOf, grantOf } from './support.ts';

const refusal = (changes: Record<string, unknown>, ask: Partial<Ask>) => {
  const decision = decide(grantOf(changes), null, askOf(ask));
  return decision.ok ? null : decision.error.reason;
};

test.each([
  ['*OPS-*: **', 'fix OPS-1: the queue is stuck', null],
  ['*OPS-*: **', 'OPS-1', 'purpose'],
  ['*OPS-*: **', null, 'purpose'],
  [['incident **', 'drill **'], 'drill of today', null],
  [['incident **', 'drill **'], 'my incident today', 'purpose'],
  ['incident **', 'incident \u001b[2J', 'purpose'],
])('decide: purpose_pattern %j takes the purpose %j: %j', (pattern, purpose, reason) => {
  expect(refusal({ purpose_pattern: pattern }, { purpose })).toBe(reason);
});

test.each([
  ['OPS-*', 'OPS-42', null],
  ['OPS-*', 'XOPS-42', 'ticket'],
  ['OPS-*', 'OPS-42/../7', 'ticket'],
  ['OPS-*', null, 'ticket'],
  [['OPS-*', 'https://tickets.acme.example/**'], 'https://tickets.acme.example/browse/OPS-1', null],
  [undefined, null, null],
  [undefined, '#4711', null],
  [undefined, '=cmd', 'ticket'],
  [undefined, '+1', 'ticket'],
  [undefined, '<script>', 'ticket'],
  [undefined, 'OPS-1\nforged: line', 'ticket'],
  [undefined, 'OPS-1\u202e', 'ticket'],
  [undefined, '`id`', 'ticket'],
  [undefined, 'a'.repeat(201), 'ticket'],
  [undefined, '', 'ticket'],
])('decide: ticket_pattern %j takes the ticket %j: %j', (pattern, ticket, reason) => {
  expect(refusal({ ticket_pattern: pattern }, { ticket })).toBe(reason);
});

test('parseGrant: a pattern that demands nothing, or that is none, is a fault', () => {
  expect(faultsOf({ purpose_pattern: '**', ticket_pattern: ['OPS-*', '***'] })).toEqual([
    expect.stringContaining('purpose_pattern: Takes anything'),
    expect.stringContaining('ticket_pattern[1]: '),
  ]);
});

test('decide: conditions see the ticket, and "" where there is none', () => {
  const changes = { conditions: ['ticket == "" || ticket.startsWith("OPS-")'] };
  expect([null, 'OPS-1', 'SRE-1'].map((ticket) => refusal(changes, { ticket }))).toEqual([
    null,
    null,
    'condition',
  ]);
});
