import { expect, test } from 'vitest';
import { createShedder } from '../../src/http/shed.ts';

/** How many of a thousand are sent away. */
function shedOf(statementMs: number): number {
  const sheds = createShedder(() => statementMs);
  return Array.from({ length: 1_000 }, sheds).filter(Boolean).length;
}

test.each([
  [0, 0],
  [300, 0],
  [475, 250],
  [650, 500],
  [1_000, 1_000],
  [60_000, 1_000],
])('shedder: at %i ms for a statement, %i of a thousand are sent away', (ms, expected) => {
  expect(Math.abs(shedOf(ms) - expected)).toBeLessThanOrEqual(1);
});

test('shedder: once the store is quick again nobody is sent away', () => {
  let ms = 5_000;
  const sheds = createShedder(() => ms);
  for (let i = 0; i < 100; i++) expect(sheds()).toBe(true);
  ms = 1;
  for (let i = 0; i < 100; i++) expect(sheds()).toBe(false);
});
