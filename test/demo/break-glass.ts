import { theIncident } from './incident.ts';
import { buildIncidentWorld } from './incident-world.ts';
import { theKill } from './kill.ts';
import { theLog } from './log.ts';
import { conclude, createReporter, type DemoOptions } from './report.ts';

/** `npm run demo -- --story break-glass`: people, and the kill switch. Answers the exit code. */
export async function demoBreakGlass(options: DemoOptions, print: (text: string) => void): Promise<number> {
  const reporter = createReporter(print);
  const startedAt = performance.now();
  await using world = await buildIncidentWorld();
  print(
    `A warehouse (PostgreSQL ${world.warehouse.version}), an issuer, a fake of Slack, and a broker on the embedded store.`,
  );
  const broker = await world.startBroker();
  print(`Ready after ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`);
  try {
    const task = await theIncident(world, reporter);
    await theKill(world, reporter);
    await theLog(world, task, reporter, print);
    return await conclude(reporter, startedAt, options, print, async () => ({
      roles: await world.ourRoles(),
    }));
  } finally {
    await broker.stop();
  }
}
