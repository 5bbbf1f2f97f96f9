import { cpus } from 'node:os';
import { readOptions } from '../support/options.ts';

/** `npm run bench`: figures beside their yardsticks, each part in a run of its own. `--part` names parts, or `all`. */

type Rows = readonly Record<string, unknown>[];

const options = readOptions({
  json: { type: 'boolean', default: false },
  seconds: { type: 'string', default: '10' },
  connections: { type: 'string', default: '64' },
  leases: { type: 'string', default: '1000000' },
  events: { type: 'string', default: '50000' },
  rows: { type: 'string', default: '10000000' },
  part: { type: 'string', multiple: true, default: ['lifecycles', 'evidence'] },
  provider: { type: 'string' },
});
const seconds = Number(options.seconds);
const connections = Number(options.connections);
const leases = Number(options.leases);
const progress = (text: string) => void process.stderr.write(`${text}\n`);

const PARTS: Readonly<Record<string, () => Promise<Rows>>> = {
  lifecycles: async () => (await import('./lifecycles.ts')).measureLifecycles(connections, seconds, progress),
  evidence: async () => (await import('./evidence.ts')).measureEvidence(Number(options.events)),
  latency: async () => (await import('./scale.ts')).measureLatency(100, seconds),
  replicas: async () => (await import('./scale.ts')).measureReplicas(seconds),
  growth: async () => {
    const { measureStanding } = await import('./scale.ts');
    const rows: Record<string, unknown>[] = [];
    for (const count of [0, 1_000, 10_000, 100_000, 1_000_000].filter((count) => count <= leases)) {
      progress(`beside ${count} live leases ...`);
      rows.push(await measureStanding(count, seconds));
    }
    return rows;
  },
  'log-growth': async () =>
    (await import('./log-growth.ts')).measureLogGrowth(Number(options.rows), seconds, progress),
  expiries: async () => [await (await import('./scale.ts')).measureExpiries(leases, 500, seconds)],
  kill: async () => [await (await import('./scale.ts')).measureKill(Math.min(leases, 100_000), 50)],
  drain: async () => [await (await import('./scale.ts')).measureDrain(10_000)],
  aws: async () => (await (await import('./aws.ts')).benchAws(500)).map((row) => ({ ...row })),
};

const wanted = options.provider === undefined ? options.part : [options.provider];
const names = wanted.includes('all') ? Object.keys(PARTS) : wanted;
const unknown = names.filter((name) => !(name in PARTS));
if (unknown.length > 0) {
  progress(
    `There is no part "${unknown.join('", "')}": name some of ${Object.keys(PARTS).join(', ')}, or all`,
  );
  process.exit(2);
}
const conditions = {
  connections,
  seconds,
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  node: process.version,
};
const measured: Record<string, Rows> = {};
for (const name of names) {
  progress(`== ${name}`);
  measured[name] = (await PARTS[name]?.()) ?? [];
  if (!options.json) console.table(measured[name]);
}
if (options.json) process.stdout.write(`${JSON.stringify({ conditions, ...measured }, null, 2)}\n`);
process.exit(0);
