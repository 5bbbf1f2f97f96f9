import { hallpass } from './command.ts';
import { type IncidentWorld, REPAIR, SECURITY } from './incident-world.ts';
import type { Reporter } from './report.ts';
import { until } from './tools.ts';

/** What the story of a break-glass task has to tell. */
const TOLD = [
  'opened task',
  'INC-7',
  'BROKE THE GLASS',
  'was issued',
  'to end: expired',
  'is revoked',
  'closed review',
];

/** What the log has of it all, as the command line tells it, and that nobody altered it. */
export async function theLog(
  world: IncidentWorld,
  task: string,
  reporter: Reporter,
  print: (text: string) => void,
): Promise<void> {
  const { claim } = reporter.chapter('What the log has of it');
  const story = await hallpass(world, SECURITY, 'audit', '--task', task);
  const missing = TOLD.filter((word) => !story.out.includes(word));
  claim('`hallpass audit --task` tells the story', missing.length === 0, missing.join() || `task ${task}`);
  print(story.out.trimEnd().replace(/^/gm, '      '));
  const security = world.clientFor(SECURITY);
  const given = await security.audit({ kind: 'request.approved', grant: REPAIR.grant });
  const by = given.events.map(({ actor }) => String((actor as { subject?: string }).subject));
  claim('it has who approved, and nobody else', by.toSorted().join() === 'ben,cleo', by.join());
  const { events } = await security.audit({ kind: 'request.refused', limit: 500 });
  const reasons = events.map((event) => String((event.data as { detail?: string }).detail));
  const forged = reasons.filter((reason) => reason.startsWith('slack incidents:'));
  claim('it has the forged clicks too', forged.length === 3, forged.join('; '));
  const verified = await until(async () => {
    const ran = await hallpass(world, SECURITY, 'audit', 'verify');
    return ran.status === 0 ? ran : undefined;
  });
  claim(
    '`hallpass audit verify` finds nothing wrong',
    verified !== undefined,
    verified?.err.trim().split('\n').at(-1),
  );
}
