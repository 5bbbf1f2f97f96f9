import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BATCH_JOB, OPERATOR, type World } from './world.ts';

/** Identity tokens last ten minutes; those in the files are made anew before that. */
const REFRESH_MS = 300_000;

/** Leaves the world running until Ctrl-C, and says how to try it by hand. */
export async function keepRunning(world: World, print: (text: string) => void): Promise<void> {
  const job = join(world.folder, 'job-token');
  const operator = join(world.folder, 'operator-token');
  const refresh = async () => {
    await writeFile(job, await world.tokenFor(BATCH_JOB), { mode: 0o600 });
    await writeFile(operator, await world.tokenFor(OPERATOR), { mode: 0o600 });
  };
  await refresh();
  const timer = setInterval(() => void refresh(), REFRESH_MS);
  print(`
The broker is at ${world.url}  (${world.url}/docs, ${world.url}/metrics)
Its configuration is ${world.configuration}

  alias hallpass="npx tsx src/main.ts"
  export HALLPASS_URL=${world.url}
  HALLPASS_TOKEN_FILE=${job} hallpass exec --grant nightly-report --task nightly-report --purpose "trying it" -- psql -c 'select count(*) from sales'
  HALLPASS_TOKEN_FILE=${operator} hallpass leases
  HALLPASS_TOKEN_FILE=${operator} hallpass audit

Ctrl-C ends it.`);
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  clearInterval(timer);
}
