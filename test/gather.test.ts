import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createGather } from '../src/gather.ts';

/** Groups under way, in the order of their begin; each ends when told to. */
function gatherOf(bounds: { groups: number; items: number }) {
  const begun: { readonly group: readonly number[]; readonly end: () => void }[] = [];
  const add = createGather<number>(
    bounds,
    (group) => new Promise((resolve) => begun.push({ group, end: resolve })),
  );
  return { add, begun };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('gather: what comes in one turn is one group, what comes meanwhile the next', async () => {
  const { add, begun } = gatherOf({ groups: 1, items: 10 });
  for (const item of [1, 2, 3]) add(item);
  await turn();
  expect(begun.map(({ group }) => group)).toEqual([[1, 2, 3]]);
  add(4);
  await turn();
  add(5);
  await turn();
  expect(begun).toHaveLength(1);
  begun[0]?.end();
  await turn();
  expect(begun.map(({ group }) => group)).toEqual([
    [1, 2, 3],
    [4, 5],
  ]);
});

test('gather: begins again after it had nothing to do', async () => {
  const { add, begun } = gatherOf({ groups: 2, items: 10 });
  for (const item of [1, 2, 3]) {
    add(item);
    await turn();
    begun.at(-1)?.end();
    await turn();
  }
  expect(begun.map(({ group }) => group)).toEqual([[1], [2], [3]]);
});

test('gather: keeps its bounds, and works on each item once and in order', async () => {
  const steps = fc.array(fc.oneof(fc.constant('add'), fc.constant('end'), fc.constant('turn')), {
    maxLength: 60,
  });
  await fc.assert(
    fc.asyncProperty(
      steps,
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 4 }),
      async (all, groups, items) => {
        const { add, begun } = gatherOf({ groups, items });
        let added = 0;
        let ended = 0;
        for (const step of all) {
          if (step === 'add') add(added++);
          else if (step === 'end') begun[ended]?.end();
          if (step === 'end' && ended < begun.length) ended++;
          if (step === 'turn') await turn();
          expect(begun.length - ended).toBeLessThanOrEqual(groups);
        }
        await turn();
        while (ended < begun.length) {
          begun[ended++]?.end();
          await turn();
        }
        expect(begun.flatMap(({ group }) => group)).toEqual(Array.from({ length: added }, (_, item) => item));
        for (const { group } of begun) expect(group.length).toBeLessThanOrEqual(items);
      },
    ),
  );
});
