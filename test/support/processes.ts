import { readdir, readFile } from 'node:fs/promises';

/** The processes that a process has made, and that have not been waited for. None where there is no `/proc`. */
export async function childrenOf(parent: number): Promise<number[]> {
  const names = await readdir('/proc').catch(() => []);
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number);
  const stats = await Promise.all(pids.map(statOf));
  return pids.filter((_, i) => stats[i]?.parent === parent);
}

/** A zombie, which waits for whoever inherited it to ask, runs no more. */
export async function isRunning(pid: number): Promise<boolean> {
  const stat = await statOf(pid);
  return stat !== null && stat.state !== 'Z';
}

/** proc(5), /proc/PID/stat; null when there is no such process. The name before the state may hold anything. */
async function statOf(pid: number): Promise<{ readonly state: string; readonly parent: number } | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (text === null) return null;
  const [state = '', parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state, parent: Number(parent) };
}
