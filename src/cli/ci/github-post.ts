import { rmSync } from 'node:fs';
import { createClient } from '../../client/client.ts';
import { command } from './github.ts';

/** The action's last word, whether the job succeeded, failed or was cancelled: the task ends. */

const {
  STATE_url: url,
  STATE_task: id,
  STATE_token: token,
  STATE_folder: folder,
  STATE_pid: pid,
} = process.env;
const print = (text: string) => void process.stdout.write(text);

if (folder) rmSync(folder, { recursive: true, force: true });
if (pid) stopKeeping(Number(pid));
if (url && id && token) await complete(url, id, token);

async function complete(url: string, id: string, token: string): Promise<void> {
  try {
    const client = createClient({ url, token: async () => token, maxAttempts: 8 });
    const { leases } = await client.completeTask(id);
    for (const { credential, name, state, outcome } of leases)
      print(`${credential}: ${name} ${state === 'ended' ? outcome : 'is still being revoked'}\n`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    print(
      command(
        'warning',
        `Cannot tell the broker that task ${id} has ended, its credentials end by themselves: ${reason}`,
      ),
    );
  }
}

function stopKeeping(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It has ended: the broker told it so.
  }
}
