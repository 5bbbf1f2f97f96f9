import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseSpiffeId } from '../../../src/identity/spiffe/id.ts';

const holds = (text: string): boolean => parseSpiffeId(text).ok;

test.each([
  ['spiffe://prod.acme.example', 'prod.acme.example', ''],
  ['spiffe://prod.acme.example/ns/etl/sa/nightly', 'prod.acme.example', '/ns/etl/sa/nightly'],
  ['spiffe://td_1-a.b/A.B_c-9', 'td_1-a.b', '/A.B_c-9'],
  ['spiffe://td/...', 'td', '/...'],
  ['spiffe://td/.hidden', 'td', '/.hidden'],
])('parseSpiffeId: reads %s', (text, trustDomain, path) => {
  expect(parseSpiffeId(text)).toEqual({ ok: true, value: { text, trustDomain, path } });
});

test.each([
  '',
  'spiffe:',
  'spiffe://',
  'spiffe:///x',
  'SPIFFE://td/x',
  'spiffe://TD/x',
  'spiffe://td/../x',
  'spiffe://td/./x',
  'spiffe://td/x/..',
  'spiffe://td//x',
  'spiffe://td/',
  'spiffe://td/x/',
  'spiffe://td/%2f',
  'spiffe://td/%2e%2e/x',
  'spiffe://td:8443/x',
  'spiffe://user@td/x',
  'spiffe://td/x?y',
  'spiffe://td/x#y',
  'spiffe://td/x y',
  'spiffe://td/ü',
  'spiffe://td/x\0',
  'spiffe://td/x\n',
  ' spiffe://td/x',
  'spiffe://td\\x',
  'https://td/x',
  'spiffe://[::1]/x',
  `spiffe://${'a'.repeat(256)}/x`,
  `spiffe://td/${'a'.repeat(2_048)}`,
])('parseSpiffeId: refuses %j (17)', (text) => {
  expect(parseSpiffeId(text).ok).toBe(false);
});

/** The grammar of the standard, written once more and slowly, as one expression. */
const REFERENCE = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)*$/;

test('parseSpiffeId: takes what the grammar takes, and nothing else', () => {
  const piece = fc.constantFrom(
    '/',
    '.',
    '..',
    'a',
    'B',
    '_',
    '-',
    '%2f',
    ':',
    '@',
    '?',
    '#',
    ' ',
    '\n',
    'é',
    '//',
  );
  const text = fc.array(piece, { maxLength: 12 }).map((pieces) => `spiffe://td${pieces.join('')}`);
  fc.assert(
    fc.property(
      fc.oneof(
        text,
        fc.string({ maxLength: 40 }).map((end) => `spiffe://${end}`),
      ),
      (candidate) => {
        expect(holds(candidate)).toBe(REFERENCE.test(candidate));
      },
    ),
    { numRuns: 3_000 },
  );
});

test('parseSpiffeId: an ID has one spelling', () => {
  const segment = fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/);
  fc.assert(
    fc.property(fc.array(segment, { minLength: 1, maxLength: 5 }), (segments) => {
      const text = `spiffe://td/${segments.join('/')}`;
      const id = parseSpiffeId(text);
      if (!id.ok) throw new Error(id.error);
      expect(`spiffe://${id.value.trustDomain}${id.value.path}`).toBe(text);
    }),
  );
});
