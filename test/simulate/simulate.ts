import { parseArgs } from 'node:util';
import { type History, play } from './history.ts';
import { MUTATIONS } from './mutations.ts';
import { openEmptiedStore } from './store.ts';
import { tell } from './tell.ts';

const { values } = parseArgs({
  options: {
    /** How many seeds. */
    seeds: { type: 'string', default: '100' },
    /** The first one. */
    seed: { type: 'string', default: '1' },
    /** Breaks the broker first: part of a mutation's name. */
    mutation: { type: 'string' },
    /** Prints the whole trace. */
    trace: { type: 'boolean', default: false },
  },
});
const first = Number(values.seed);
const seeds = Number(values.seeds);
const mutation = MUTATIONS.find(
  ({ name }) => values.mutation !== undefined && name.includes(values.mutation),
);
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(seeds) || (values.mutation && !mutation)) {
  process.stderr.write('Cannot simulate: write --seeds N, --seed N, and --mutation with part of its name\n');
  process.exit(2);
}

const store = await openEmptiedStore();
const began = performance.now();
const sums = { steps: 0, leases: 0, served: 0, crashes: 0, simulatedSeconds: 0 };
const failed: History[] = [];
const seconds = () => ((performance.now() - began) / 1000).toFixed(0);
for (let seed = first; seed < first + seeds; seed++) {
  await store.empty();
  const history = await play(store.database, seed, mutation ?? null);
  for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += history.counts[name];
  if (history.faults.length > 0) {
    failed.push(history);
    process.stdout.write(`${tell(history)}\n`);
  }
  if (values.trace) process.stdout.write(`${history.trace.join('\n')}\n${history.digest}\n`);
  const done = seed - first + 1;
  if (done % 100 === 0)
    process.stdout.write(`${done} of ${seeds} seeds, ${failed.length} failed, ${seconds()} s\n`);
}
await store.close();
process.stdout.write(
  `${seeds} seeds from ${first} on ${store.name} in ${seconds()} s: ${failed.length} failed` +
    `${failed.length === 0 ? '' : ` (${failed.map(({ seed }) => seed).join(', ')})`}; ${sums.leases} leases, ` +
    `${sums.served} requests served, ${sums.crashes} crashes, ${sums.steps} steps, ` +
    `${(sums.simulatedSeconds / 3600).toFixed(1)} simulated hours\n`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
