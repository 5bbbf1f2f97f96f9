import type { History } from './history.ts';

/** The last steps that a failure shows. */
const STEPS = 40;

/** What went wrong in a history, and how to see it again. */
export function tell({ seed, faults, trace }: History): string {
  return [
    `Seed ${seed} fails:`,
    ...faults.map((fault) => `  ${fault}`),
    `its last steps of ${trace.length}:`,
    ...trace.slice(-STEPS).map((line) => `  ${line}`),
    `To see it again: npm run simulate -- --seed ${seed} --seeds 1`,
  ].join('\n');
}
