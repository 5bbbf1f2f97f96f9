import { expect, test } from 'vitest';
import { blockingReview, fallDue } from '../../src/approvals/review.ts';
import type { Person, ReviewRow } from '../../src/store/rows.ts';

const person = (subject: string): Person => ({ issuer: 'corp', subject, claims: { subject } });
const people = [
  {
    name: 'Ada',
    who: [
      {
        issuer: 'corp',
        claims: [
          {
            name: 'subject',
            path: ['subject'],
            accepts: [{ text: '', matches: (at: unknown) => String(at).startsWith('ada') }],
          },
        ],
      },
    ],
  },
];
const review = (over: Partial<ReviewRow> = {}): ReviewRow => ({
  id: 'r',
  version: 1,
  state: 'open',
  grant: 'g',
  taskId: 't',
  issuer: 'corp',
  subject: 'ada',
  person: person('ada'),
  people: ['Ada'],
  practice: false,
  purpose: 'p',
  ticket: null,
  openedAt: 0,
  dueAt: 100,
  closedAt: null,
  closedBy: null,
  finding: null,
  ...over,
});

test.each<[string, Partial<ReviewRow>, { by?: string; practice?: boolean; now?: number }, boolean]>([
  ['overdue', {}, {}, true],
  ['overdue and told', { state: 'due' }, {}, true],
  ['overdue, to another identity of his', {}, { by: 'ada-home' }, true],
  ['not due yet', {}, { now: 99 }, false],
  ['closed', { state: 'closed' }, {}, false],
  ['of somebody else', {}, { by: 'bob' }, false],
  ['of practice, to real use', { practice: true }, {}, false],
  ['of real use, to practice', {}, { practice: true }, false],
  ['of practice, to practice', { practice: true }, { practice: true }, true],
])('blockingReview: a review %s', (_, over, { by = 'ada', practice = false, now = 100 }, blocks) => {
  const found = blockingReview(people, [review(over)], { by: person(by), practice, now });
  expect(found !== null).toBe(blocks);
});

test('fallDue: tells once, when its time has come', () => {
  expect(fallDue(review(), 99)).toBeNull();
  expect(fallDue(review(), 100)?.state).toBe('due');
  expect(fallDue(review({ state: 'due' }), 100)).toBeNull();
  expect(fallDue(review({ state: 'closed' }), 100)).toBeNull();
});
