import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '../../client/client.ts';
import { keepTask } from '../../client/keep.ts';
import type { KnownTask, TaskHandle } from '../../client/task.ts';
import { systemRuntime } from '../../runtime.ts';
import { planDelivery } from '../credentials/plan.ts';
import { writeSecret } from '../exec/folder.ts';
import { addTo, command, type Inputs, jobToken, masksOf, readInputs } from './github.ts';

/** The step of the action: opens the task, and gives its credentials to the steps that follow. */

const { env } = process;
const print = (text: string) => void process.stdout.write(text);

/** What the process that keeps the task alive reads. */
interface Keep {
  readonly url: string;
  readonly known: KnownTask;
}

try {
  if (process.argv[2] === 'keep') await keep(JSON.parse(readFileSync(0, 'utf8')) as Keep);
  else await main(readInputs(env));
} catch (error) {
  print(command('error', error instanceof Error ? error.message : String(error)));
  process.exitCode = 1;
}

async function main(inputs: Inputs): Promise<void> {
  const { url, audience } = inputs;
  const token = async () => {
    const value = await jobToken(env, systemRuntime.fetch, audience);
    print(command('add-mask', value));
    return value;
  };
  const task = await createClient({ url, token, maxAttempts: 8 }).openTask(requestOf(inputs));
  print(command('add-mask', task.token));
  // Before anything else can fail: the post step finds what it must end.
  const folder = mkdtempSync(join(env.RUNNER_TEMP || tmpdir(), 'hallpass-'));
  for (const [name, value] of Object.entries({ url, task: task.id, token: task.token, folder }))
    addTo(env.GITHUB_STATE, name, value);
  for (const { secret } of task.credentials)
    for (const mask of masksOf(secret)) print(command('add-mask', mask));
  deliver(inputs, task, folder);
  addTo(env.GITHUB_OUTPUT, 'task', task.id);
  addTo(env.GITHUB_STATE, 'pid', String(startKeeping(url, task) ?? ''));
}

function requestOf({ grant, task, purpose, ticket, parameters, credentials, ttlSeconds }: Inputs) {
  return {
    grant,
    task,
    ...(purpose === undefined ? {} : { purpose }),
    ...(ticket === undefined ? {} : { ticket }),
    ...(Object.keys(parameters).length === 0
      ? {}
      : { parameters: { ...parameters } as Record<string, string> }),
    ...(credentials.length === 0 ? {} : { credentials: [...credentials] }),
    ...(ttlSeconds === undefined ? {} : { ttl_seconds: ttlSeconds }),
  };
}

function deliver({ prefixes, extra }: Inputs, task: TaskHandle, folder: string): void {
  const plan = planDelivery(task.credentials, { prefixes, extra }, folder, env);
  for (const [path, content] of Object.entries(plan.files)) writeSecret(path, content);
  for (const [name, value] of Object.entries({ ...plan.env, HALLPASS_TASK: task.id }))
    addTo(env.GITHUB_ENV, name, value);
  for (const note of plan.notes) print(command('warning', note));
  // Later steps keep their environment: what would win there can be emptied, not removed.
  for (const name of plan.removed) if (env[name] !== undefined) addTo(env.GITHUB_ENV, name, '');
}

/** Beats and renewals go on between the steps, in a process that the runner ends with the job at the latest. */
function startKeeping(url: string, task: TaskHandle): number | undefined {
  const credentials = task.credentials.map((one) => ({ ...one, secret: { type: '', values: {} } }));
  const work: Keep = { url, known: { task: task.task, token: task.token, credentials } };
  const child = spawn(process.execPath, [process.argv[1] ?? '', 'keep'], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env,
  });
  child.stdin.end(JSON.stringify(work));
  child.unref();
  return child.pid;
}

async function keep({ url, known }: Keep): Promise<void> {
  const client = createClient({ url, token: async () => known.token });
  await new Promise<void>((resolve) => {
    const kept = keepTask(client.resumeTask(known), {
      // The key that opens fresh secrets ended with the step.
      replacements: false,
      on: ({ kind }) => {
        if (kind === 'task-ended') void kept.stop().then(resolve);
      },
    });
  });
}
