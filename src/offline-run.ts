import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { endTask } from './broker/end.ts';
import { checkLive } from './check-live.ts';
import { type ExecOptions, exec } from './cli/commands/exec.ts';
import { EXIT } from './cli/exit-codes.ts';
import { reportFailure, UsageError } from './cli/failure.ts';
import type { Io } from './cli/io.ts';
import { say } from './cli/output.ts';
import type { Config } from './config/config.ts';
import { loadConfig } from './config/load.ts';
import { reportText } from './config/report.ts';
import { HallpassError } from './errors.ts';
import { instant } from './instant.ts';
import { attestorKinds, providerKinds } from './kinds.ts';
import { type KitContents, readContents } from './offline/contents.ts';
import { type KitHeader, openKit, type ReadKit, readKitFile } from './offline/envelope.ts';
import { isReady } from './offline/health.ts';
import { kitIssuerKind, type Opening } from './offline/issuer.ts';
import { ENDING_PATIENCE_MS } from './offline/limits.ts';
import { ID_PATTERN, newId } from './runtime.ts';
import { type BrokerWithin, runBroker } from './serve.ts';
import { targetsWithLiveLeases } from './store/leases.ts';
import { listTasks } from './store/tasks.ts';

/** `hallpass kit open`: runs a command with credentials of a kit, while no broker can be reached. Answers the exit code. */
export async function openCommand(
  io: Io,
  options: ExecOptions,
  file: string,
  command: readonly string[],
  version: string,
): Promise<number> {
  const kit = await readKit(file);
  const { header } = kit;
  if (!options.purpose)
    throw new UsageError('Cannot open a kit without --purpose: say what it is for, for the log');
  if (io.runtime.now() >= header.expiresAt)
    throw new UsageError(
      `Cannot open this kit: it expired on ${instant(header.expiresAt)}; a new one is to be sealed`,
    );
  if (await isReady(io.runtime, header.url, header.ca)) {
    say(io, `Cannot open this kit: the broker at ${header.url} is ready; use "hallpass exec"`);
    return EXIT.notStarted;
  }
  const { contents, codes } = await unseal(io, kit);
  const token = Buffer.from(io.runtime.randomBytes(32)).toString('base64url');
  const within = await start(header, contents, { header, codes, token }, io, version);
  try {
    await abandonTasks(within);
    say(io, `OFFLINE: all that is done now is kept in ${placeOf(header)}, for "hallpass kit replay"`);
    const { url } = within.broker;
    const inside: Io = { ...io, openFetch: () => askOf(within) };
    const plain = { ...options, url, insecureHttp: true } as const;
    const status = await exec(inside, plain, command, async () => token);
    await untilEnded(io, within);
    return status;
  } finally {
    await within.stop();
  }
}

/** The same for the command line: whatever keeps the command from being started is said, and ends as for `exec`. */
export async function openOrSay(...given: Parameters<typeof openCommand>): Promise<number> {
  try {
    return await openCommand(...given);
  } catch (error) {
    reportFailure(given[0], error);
    return EXIT.notStarted;
  }
}

/** `hallpass kit finish`: ends what a kit left open when its process was killed. No code is used up. */
export async function finishCommand(io: Io, file: string, version: string): Promise<number> {
  const kit = await readKit(file);
  const { contents } = await unseal(io, kit);
  const within = await start(kit.header, contents, null, io, version);
  try {
    await abandonTasks(within);
    if (!(await untilEnded(io, within))) return EXIT.tryLater;
    say(io, 'Nothing of this kit is open on this machine');
    return EXIT.done;
  } finally {
    await within.stop();
  }
}

/** `hallpass kit check`: tries a kit, its codes and each of its targets, with credentials that end at once. No code is used up. */
export async function checkCommand(io: Io, file: string, json: boolean): Promise<number> {
  const kit = await readKit(file);
  const { contents } = await unseal(io, kit);
  const config = await configOf(kit.header, contents, null, 'check');
  return checkLive(config, { runtime: io.runtime, io, json });
}

async function readKit(file: string): Promise<ReadKit> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`Cannot read ${JSON.stringify(file)}: ${error.code}`);
  });
  const kit = readKitFile(text);
  if (!kit.ok) throw new UsageError(`Cannot use ${JSON.stringify(file)}: ${kit.error}`);
  return kit.value;
}

/** Asks for the codes: they are read from the terminal, and never stand in a command line. */
async function unseal(io: Io, kit: ReadKit) {
  const { threshold } = kit.header;
  const prompts = Array.from({ length: threshold }, (_, i) => `Code ${i + 1} of ${threshold}: `);
  const opened = await openKit(kit, await io.secrets(prompts));
  if (!opened.ok) throw new UsageError(`Cannot open this kit: ${opened.error}`);
  const contents = readContents(opened.value.contents);
  if (!contents.ok) throw new UsageError(`Cannot use this kit: ${contents.error}`);
  return { contents: contents.value, codes: opened.value.codes };
}

/** Where a kit keeps its state on this machine: every copy of it in the same place. */
export function placeOf({ stateDirectory, id }: KitHeader): string {
  return join(stateDirectory, id);
}

/** The broker that a kit holds, recovered and running in this process. */
async function start(
  header: KitHeader,
  contents: KitContents,
  opening: Opening | null,
  io: Io,
  version: string,
): Promise<BrokerWithin> {
  const config = await configOf(header, contents, opening, nameOfLog(header, io));
  const log = pino({ level: config.log.level, base: { kit: header.id } }, pino.destination(2));
  try {
    return await runBroker(config, io.runtime, log, version);
  } catch (error) {
    if (!(error instanceof HallpassError) || error.code !== 'store-unavailable') throw error;
    throw new UsageError(`Cannot use this kit now: ${error.message}`);
  }
}

/** Names the log of this machine apart from those of copies on others, the same at each opening. */
function nameOfLog(header: KitHeader, io: Io): string {
  const place = placeOf(header);
  const path = join(place, 'log-name');
  try {
    mkdirSync(place, { recursive: true, mode: 0o700 });
    if (!existsSync(path)) writeFileSync(path, newId(io.runtime), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST') throw new UsageError(`Cannot keep state in ${JSON.stringify(place)}: ${code}`);
  }
  const name = readFileSync(path, 'utf8');
  if (ID_PATTERN.test(name)) return name;
  throw new UsageError(
    `Cannot use the state in ${JSON.stringify(place)}: "log-name" holds no name; was it altered?`,
  );
}

async function configOf(
  header: KitHeader,
  { path, configuration, files, env }: KitContents,
  opening: Opening | null,
  logName: string,
): Promise<Config> {
  const broker = {
    url: `${header.url}/offline/${header.id}/${logName}`,
    state_directory: join(placeOf(header), 'store'),
  };
  const text = JSON.stringify({ ...configuration, broker });
  const config = await loadConfig({
    path,
    env,
    readFile: async (file) => {
      const kept =
        file === path ? { content: Buffer.from(text).toString('base64'), mode: 0o600 } : files[file];
      if (kept === undefined) throw Object.assign(new Error('not in the kit'), { code: 'ENOENT' });
      return { bytes: Buffer.from(kept.content, 'base64'), mode: kept.mode };
    },
    attestors: { ...attestorKinds, kit: async () => kitIssuerKind(opening) },
    providers: providerKinds,
  });
  if (config.ok) return config.value;
  throw new UsageError(`Cannot use what is in this kit:\n${reportText(config.error)}`);
}

/** The broker is in this process: what its client asks goes over no network. */
function askOf({ app, broker }: BrokerWithin): typeof fetch {
  const { pathname } = new URL(broker.url);
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    url.pathname = url.pathname.slice(pathname.length);
    return app.request(new Request(url, init));
  };
}

/** Ends tasks that an opening left whose process was killed: the store is held by us, so nobody works on them. */
async function abandonTasks({ broker }: BrokerWithin): Promise<void> {
  for (;;) {
    const open = await listTasks(broker.database, { state: 'open' }, null, 100);
    if (open.length === 0) return;
    for (const { id } of open)
      await endTask(broker, id, { reason: 'abandoned', exitStatus: null, actor: { kind: 'system' } });
    broker.wakeReaper();
  }
}

/** Waits for the reaper to end everything; says what it could not end, and answers whether it could. */
async function untilEnded(io: Io, { broker }: BrokerWithin): Promise<boolean> {
  const patience = io.runtime.now() + ENDING_PATIENCE_MS;
  for (;;) {
    const live = await targetsWithLiveLeases(broker.database);
    if (live.length === 0) return true;
    if (io.runtime.now() >= patience) {
      say(
        io,
        `Credentials at ${live.join(', ')} could not be ended: they may work until they expire; run "hallpass kit finish" again`,
      );
      return false;
    }
    await io.runtime.sleep(250);
  }
}
