import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseDuration, printDuration } from '../src/duration.ts';

test.each([
  ['45s', 45],
  ['15m', 900],
  ['1h30m', 5400],
  ['7d', 604_800],
  ['1d2h3m4s', 93_784],
  ['90m', 5400],
])('parseDuration: %s', (text, seconds) => {
  expect(parseDuration(text)).toBe(seconds);
});

test.each(['', '5', 'h', '1.5h', '-1h', '1h 30m', '30m1h', '1h1h', '1H', 'P1D', '1w', '9999999999s', '１h'])(
  'parseDuration: %j is none',
  (text) => {
    expect(parseDuration(text)).toBeNull();
  },
);

test('printDuration: parseDuration reads it back', () => {
  fc.assert(
    fc.property(fc.nat({ max: 100_000_000 }), (seconds) => {
      expect(parseDuration(printDuration(seconds))).toBe(seconds);
    }),
  );
});
