import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { availablePostgres, type PostgresServer } from '../../support/postgres.ts';
import { childrenOf } from '../../support/processes.ts';
import { type Scenario, type Stage, untilSo } from '../scenario.ts';

const run = promisify(execFile);

/** Room for a fresh server of Debian's, its log of transactions, and some minutes of load. */
const DISK_MB = 192;

/** The store's disk is full until somebody makes room; a server that went down for it is started again. */
export const diskFull: Scenario = {
  name: 'store-disk-full',
  async missing() {
    if (process.getuid?.() !== 0) return 'needs root, to mount a small file system';
    const { 15: debian } = await availablePostgres();
    return debian.ok ? null : debian.reason;
  },
  async prepare(undo) {
    const folder = await mkdtemp(join(tmpdir(), 'hallpass-disk-'));
    await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MB}m,mode=755`, 'tmpfs', folder]);
    undo.push(async () => {
      await run('umount', ['-l', folder]);
      await rm(folder, { recursive: true, force: true });
    });
    await chmod(folder, 0o755);
    // Segments of the transaction log are soon used up, so that the disk is soon wanted.
    const store = { max_wal_size: '32MB', min_wal_size: '32MB', checkpoint_timeout: '30s' };
    return { replicas: 2, storeFolder: folder, store };
  },
  async round(stage) {
    const { world, say, took } = stage;
    const filler = join(world.options.storeFolder ?? '', 'filler');
    say('the disk of the store fills up');
    await fill(filler);
    const before = stage.crowd.heard('store-unavailable');
    const noticed = await untilSo(
      'the store to fail',
      () => stage.crowd.heard('store-unavailable') > before,
      180_000,
    );
    took('disk full: the first client hears of it', noticed);
    await delay(3_000);
    await rm(filler);
    await mend(stage, 'disk has room again');
  },
};

async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    const block = Buffer.alloc(1 << 16);
    for (;;) await file.write(block);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
  } finally {
    await file.close();
  }
}

/** A server that a fault of its disk took down is started again by whoever looks after it. */
async function mend({ world: { store }, crowd, took }: Stage, what: string): Promise<void> {
  const began = performance.now();
  const isUp = async () =>
    store
      .connect()
      .then((client) => client.end())
      .then(
        () => true,
        () => false,
      );
  // It may be recovering by itself.
  for (let tries = 0; tries < 20 && !(await isUp()); tries++) await delay(250);
  if (!(await isUp())) await store.restart('immediate');
  took(`${what}: Postgres serves`, performance.now() - began);
  took(`${what}: next task opened`, await crowd.nextOpened());
}

/** fsync fails at the store's server: it cannot know what is on its disk, and goes down. */
export const failingFsync: Scenario = {
  name: 'store-fsync',
  async missing() {
    const works = await run('strace', ['-e', 'inject=fsync:error=EIO', 'true']).then(
      () => true,
      () => false,
    );
    return works ? null : 'needs strace (Debian strace), and leave to trace processes';
  },
  prepare: async () => ({ replicas: 2 }),
  async round(stage) {
    const { world, crowd, say, took } = stage;
    say('fsync fails at the store');
    const tracer = await breakFsync(world.store);
    const before = crowd.openedAt.length;
    const heard = stage.crowd.heard('store-unavailable');
    await untilSo('the store to fail', () => stage.crowd.heard('store-unavailable') > heard);
    await delay(2_000);
    const panics = (await world.store.log()).match(/PANIC: {2}could not f(data)?sync/g)?.length ?? 0;
    if (panics === 0) stage.fault('0: the server never failed to fsync: nothing was tried');
    tracer.kill('SIGTERM');
    await once(tracer, 'exit');
    took('fsync fails: tasks opened meanwhile', crowd.openedAt.length - before);
    await mend(stage, 'fsync works again');
  },
};

/** From now on fsync fails in every process of the server, also in those that it has yet to start. */
async function breakFsync({ pid }: PostgresServer): Promise<ChildProcess> {
  const pids = [pid ?? 0, ...(await childrenOf(pid ?? 0))];
  const calls = 'fsync,fdatasync';
  const tracer = spawn(
    'strace',
    ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${calls}`, '-e', `inject=${calls}:error=EIO`].concat(
      pids.flatMap((each) => ['-p', String(each)]),
    ),
    { stdio: 'ignore' },
  );
  await once(tracer, 'spawn');
  return tracer;
}
