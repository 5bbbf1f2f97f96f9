import { parseArgs } from 'node:util';
import { keepRunning } from './keep.ts';
import { createReporter } from './report.ts';
import { tellStory } from './story.ts';
import { buildWorld, OPERATOR } from './world.ts';

/** `npm run demo`: the main job, told in a terminal. Exits with 1 if anything that it claims is not so. */
const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    provider: { type: 'string', default: 'postgres' },
  },
});
const print = (text: string) => void (options.json ? process.stderr : process.stdout).write(`${text}\n`);
if (options.provider === 'aws') {
  const { demoAws } = await import('./aws.ts');
  process.exit(await demoAws(options, print));
}
if (options.provider !== 'postgres') {
  print(`There is no demo of "${options.provider}": write --provider postgres or --provider aws`);
  process.exit(2);
}
const reporter = createReporter(print);
const startedAt = performance.now();

await using world = await buildWorld();
print(
  `A warehouse (PostgreSQL ${world.warehouse.version}), an issuer at ${world.issuer.url}, and a broker on the embedded store.`,
);
const broker = await world.startBroker();
print(`Ready after ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`);
const running = await tellStory(world, broker, reporter);

const failed = reporter.facts.filter((fact) => !fact.ok);
const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
if (options.json) {
  const { leases } = await world.clientFor(OPERATOR).listLeases({ limit: 500 });
  const document = {
    ok: failed.length === 0,
    seconds,
    facts: reporter.facts,
    leases,
    roles: await world.ourRoles(),
  };
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
}
print(`\n${reporter.facts.length - failed.length} of ${reporter.facts.length} claims held, in ${seconds} s.`);
if (failed.length > 0) process.exitCode = 1;
if (options.keep) await keepRunning(world, print);
await running.stop();
