import { readOptions } from '../support/options.ts';
import { countsText } from './crowd.ts';
import { type Measured, type Played, play } from './scenario.ts';
import { SCENARIOS } from './scenarios.ts';

/** `npm run faults`: real faults on real processes and servers, under load, and what became of them. */
const values = readOptions({
  /** For how long rounds of each scenario are begun. */
  minutes: { type: 'string', default: '1' },
  /** One of them, or several separated by commas; all without it. */
  scenario: { type: 'string' },
  seed: { type: 'string', default: '1' },
});
const names = values.scenario?.split(',') ?? SCENARIOS.map(({ name }) => name);
const unknown = names.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name));
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (unknown.length > 0 || !(minutes > 0) || !Number.isSafeInteger(seed)) {
  const known = SCENARIOS.map(({ name }) => name).join(', ');
  process.stderr.write(`Cannot begin: write --minutes N, --seed N, and --scenario with some of ${known}\n`);
  process.exit(2);
}
const say = (text: string) => void process.stdout.write(`${text}\n`);

let failed = 0;
for (const scenario of SCENARIOS.filter(({ name }) => names.includes(name))) {
  const reason = (await scenario.missing?.()) ?? null;
  if (reason !== null) {
    say(`${scenario.name}: skipped, ${reason}`);
    continue;
  }
  const began = performance.now();
  const elapsed = () => ((performance.now() - began) / 1000).toFixed(1).padStart(7);
  const played = await play(scenario, {
    seed,
    until: began + minutes * 60_000,
    say: (what) => say(`${elapsed()} ${what}`),
  });
  report(played);
  failed += played.faults.length;
}
// Node.js can spin for ever while it takes down what is left of child processes; all is awaited by then.
process.exit(failed === 0 ? 0 : 1);

function report(played: Played): void {
  const { leases, outcomes, received, settledMs } = played.verdict;
  say(`
${played.scenario}: ${played.rounds} rounds in ${played.seconds.toFixed(0)} s, seed ${seed}: ${played.faults.length} faults
  tasks opened ${played.opened}, leases ${leases} (${countsText(new Map(Object.entries(outcomes)))}), credentials received ${received}, restarts ${played.restarts}
  clients heard: ${countsText(played.refusals)}
  until nothing lived any more after the last client: ${Math.round(settledMs)} ms`);
  for (const [what, all] of grouped(played.measured)) say(`  ${what}: ${summary(all)}`);
  for (const fault of played.faults.slice(0, 50)) say(`  FAULT ${fault}`);
}

function grouped(measured: readonly Measured[]): Map<string, Measured[]> {
  const groups = new Map<string, Measured[]>();
  for (const one of measured) groups.set(one.what, [...(groups.get(one.what) ?? []), one]);
  return groups;
}

function summary(all: readonly Measured[]): string {
  const ms = all.map((one) => one.value).toSorted((a, b) => a - b);
  const loads = all.map(({ load }) => load);
  const at = (share: number) => Math.round(ms[Math.min(ms.length - 1, Math.floor(ms.length * share))] ?? 0);
  return `${all.length} times, median ${at(0.5)}, most ${at(1)} (load ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)})`;
}
