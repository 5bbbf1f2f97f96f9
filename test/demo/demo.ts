import { readOptions } from '../support/options.ts';
import { keepRunning } from './keep.ts';
import { conclude, createReporter } from './report.ts';
import { tellStory } from './story.ts';
import { buildWorld, OPERATOR } from './world.ts';

/** `npm run demo`: the main job, told in a terminal. Exits with 1 if anything that it claims is not so. */
const options = readOptions({
  json: { type: 'boolean', default: false },
  keep: { type: 'boolean', default: false },
  provider: { type: 'string', default: 'postgres' },
  story: { type: 'string', default: 'batch-job' },
});
const print = (text: string) => void (options.json ? process.stderr : process.stdout).write(`${text}\n`);
if (options.story === 'break-glass' && options.provider === 'postgres') {
  const { demoBreakGlass } = await import('./break-glass.ts');
  process.exit(await demoBreakGlass(options, print));
}
if (options.story !== 'batch-job') {
  print(
    `There is no story "${options.story}" of ${options.provider}: write --story batch-job or --story break-glass`,
  );
  process.exit(2);
}
if (options.provider === 'aws') {
  const { demoAws } = await import('./aws.ts');
  process.exit(await demoAws(options, print));
}
if (options.provider !== 'postgres') {
  print(`There is no demo of "${options.provider}": write --provider postgres or --provider aws`);
  process.exit(2);
}
// Node.js can spin for ever while it takes down what is left of child processes; all is awaited by then, so it is told to go.
process.exit(await demoPostgres());

async function demoPostgres(): Promise<number> {
  const reporter = createReporter(print);
  const startedAt = performance.now();

  await using world = await buildWorld();
  print(
    `A warehouse (PostgreSQL ${world.warehouse.version}), an issuer at ${world.issuer.url}, and a broker on the embedded store.`,
  );
  const broker = await world.startBroker();
  print(`Ready after ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`);
  const running = await tellStory(world, broker, reporter);

  const status = await conclude(reporter, startedAt, options, print, async () => ({
    leases: (await world.clientFor(OPERATOR).listLeases({ limit: 500 })).leases,
    roles: await world.ourRoles(),
  }));
  if (options.keep) await keepRunning(world, print);
  await running.stop();
  return status;
}
