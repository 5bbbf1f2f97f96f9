import { readOptions } from '../support/options.ts';
import { anyStore } from '../support/stores.ts';
import { type Counts, type History, play } from './history.ts';
import { MUTATIONS } from './mutations.ts';
import { openEmptiedStore } from './store.ts';
import { tell } from './tell.ts';

const values = readOptions({
  /** How many seeds. */
  seeds: { type: 'string', default: '100' },
  /** The first one. */
  seed: { type: 'string', default: '1' },
  /** After how many minutes no further seed is begun. */
  minutes: { type: 'string', default: '600' },
  /** Breaks the broker first: part of a mutation's name. */
  mutation: { type: 'string' },
  /** Prints the whole trace. */
  trace: { type: 'boolean', default: false },
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

const store = await openEmptiedStore(await anyStore());
const began = performance.now();
const sums: Partial<Record<keyof Counts, number>> = {};
let done = 0;
const failed: History[] = [];
const isTime = () => performance.now() - began < Number(values.minutes) * 60_000;
const seconds = () => ((performance.now() - began) / 1000).toFixed(0);
for (let seed = first; seed < first + seeds && isTime(); seed++) {
  await store.empty();
  const history = await play(store.database, seed, mutation ?? null);
  for (const [name, count] of Object.entries(history.counts) as [keyof Counts, number][])
    sums[name] = (sums[name] ?? 0) + count;
  if (history.faults.length > 0) {
    failed.push(history);
    process.stdout.write(`${tell(history)}\n`);
  }
  if (values.trace) process.stdout.write(`${history.trace.join('\n')}\n${history.digest}\n`);
  done++;
  if (done % 100 === 0)
    process.stdout.write(`${done} of ${seeds} seeds, ${failed.length} failed, ${seconds()} s\n`);
}
await store.close();
process.stdout.write(
  `${done} seeds from ${first} on ${store.name} in ${seconds()} s: ${failed.length} failed` +
    `${failed.length === 0 ? '' : ` (${failed.map(({ seed }) => seed).join(', ')})`}\n` +
    `${Object.entries(sums)
      .map(([name, sum]) => `${name} ${sum}`)
      .join(', ')}\n`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
