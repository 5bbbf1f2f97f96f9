import type { TaskHandle } from '../../src/client/task.ts';
import { hallpass } from './command.ts';
import { bot, type IncidentWorld, SECURITY } from './incident-world.ts';
import type { Chapter, Reporter } from './report.ts';
import { isCut, login, problemOf, theOne, until } from './tools.ts';

/** Hundreds of leases, and the one subject among them whose token was stolen. */
const BOTS = 30;
const LEASES_EACH = 10;
const STOLEN = bot(7);
/** Tasks that are being opened at a time. */
const OPENERS = 8;

/** An incident of the other kind: one command ends all that one subject holds, and keeps it out. */
export async function theKill(world: IncidentWorld, reporter: Reporter): Promise<void> {
  const held = await open(world, reporter.chapter(`${BOTS} jobs hold ${BOTS * LEASES_EACH} logins`));
  const block = await kill(
    world,
    held,
    reporter.chapter('The token of one of them is stolen: hallpass kill'),
  );
  await keptOut(world, block, reporter.chapter('What is kept out stays out until it is lifted'));
  await endAll(world, reporter.chapter('The night is over: everything that is left is killed'));
}

/** The tasks of each subject. */
type Held = ReadonlyMap<string, readonly TaskHandle[]>;

const openBy = (world: IncidentWorld, number: number, name: string) =>
  world.clientFor(bot(number)).openTask({ grant: 'sales-bots', task: `batch-${name}` });

async function open(world: IncidentWorld, { claim }: Chapter): Promise<Held> {
  const held = new Map<string, TaskHandle[]>();
  const wanted = [...Array(BOTS * LEASES_EACH).keys()];
  const openNext = async () => {
    for (let next = wanted.pop(); next !== undefined; next = wanted.pop()) {
      const { sub } = bot(next % BOTS);
      held.set(sub, [...(held.get(sub) ?? []), await openBy(world, next % BOTS, `${next}`)]);
    }
  };
  await Promise.all([...Array(OPENERS)].map(openNext));
  const roles = await world.ourRoles();
  claim(
    'each is a login of its own in the warehouse',
    roles.length === BOTS * LEASES_EACH,
    `${roles.length}`,
  );
  return held;
}

/** Answers the id of the block. */
async function kill(world: IncidentWorld, held: Held, { claim }: Chapter): Promise<string> {
  const stolen = held.get(STOLEN.sub) ?? [];
  const names = new Set(stolen.map((task) => theOne(task).lease.name));
  const others = (await world.ourRoles()).filter((role) => !names.has(role));
  const [its, other] = await Promise.all([
    login(theOne(stolen[0] ?? fail())),
    login(theOne(held.get(bot(8).sub)?.[0] ?? fail())),
  ]);
  const { order, left, status, markedSeconds, goneSeconds, meanwhile } = await orderKill(world, names);
  claim(
    'all that it holds is marked within a second, and nothing else',
    markedSeconds < 1 && order.leases === LEASES_EACH,
    `${order.leases} leases in ${markedSeconds.toFixed(3)} s`,
  );
  claim('its last login is gone', goneSeconds < 10, `${goneSeconds.toFixed(3)} s after the command`);
  claim('the command ends when all of it has ended', status === 0 && left === 0, `${left} left`);
  claim('its open session is cut', await isCut(its));
  claim('an open session of another job is not', !(await isCut(other)));
  await other.end();
  const after = new Set(await world.ourRoles());
  const kept = others.filter((role) => after.has(role)).length;
  claim(
    'the logins of the others are untouched',
    others.length === (BOTS - 1) * LEASES_EACH && kept === others.length,
    `${kept} of ${others.length}`,
  );
  const slowest = Math.max(...meanwhile.map(({ tookMs }) => tookMs)) / 1000;
  claim(
    'another job got all that it asked for meanwhile',
    meanwhile.length > 0 && meanwhile.every(({ outcome }) => outcome === 'allowed') && slowest < 2,
    `${meanwhile.length} logins, the slowest in ${slowest.toFixed(3)} s`,
  );
  return order.id;
}

/** Kills, and measures from outside: when the command says that all is marked, and when the last login is gone. */
async function orderKill(world: IncidentWorld, names: ReadonlySet<string>) {
  const startedAt = performance.now();
  let killed = false;
  const killing = hallpass(
    world,
    SECURITY,
    ...['kill', '--issuer', 'corp', '--subject', STOLEN.sub, '--reason', 'its token was stolen', '--json'],
  ).finally(() => {
    killed = true;
  });
  const issuing = issueUntil(world, () => killed);
  const goneAt = await until(async () =>
    (await world.ourRoles()).some((role) => names.has(role)) ? undefined : performance.now(),
  );
  const ran = await killing;
  const meanwhile = await issuing;
  const { kill: order, left } = JSON.parse(ran.out || '{}') as {
    kill: { id: string; leases: number };
    left: number;
  };
  const seconds = (at: number | null | undefined) => ((at ?? Number.NaN) - startedAt) / 1000;
  return {
    order,
    left,
    meanwhile,
    status: ran.status,
    markedSeconds: seconds(ran.saidAt),
    goneSeconds: seconds(goneAt),
  };
}

/** Has another job ask for one login after the other until all is over: what came of each, and how long it took. */
async function issueUntil(world: IncidentWorld, isOver: () => boolean) {
  const issued: { readonly outcome: string; readonly tookMs: number }[] = [];
  while (!isOver()) {
    const askedAt = performance.now();
    const outcome = await problemOf(openBy(world, 9, `meanwhile-${issued.length}`));
    issued.push({ outcome, tookMs: performance.now() - askedAt });
  }
  return issued;
}

function fail(): never {
  throw new Error('A job holds no task');
}

async function keptOut(world: IncidentWorld, block: string, { claim }: Chapter): Promise<void> {
  const refused = await problemOf(openBy(world, 7, 'again'));
  claim('with the same identity there is nothing to be had', refused === 'not-allowed', refused);
  const lifted = await hallpass(world, SECURITY, 'unblock', block, '--reason', 'it has a new token');
  claim('`hallpass unblock` lifts it', lifted.status === 0, lifted.err.trim());
  const again = await problemOf(openBy(world, 7, 'again'));
  claim('then it gets a login again', again === 'allowed', again);
}

async function endAll(world: IncidentWorld, { claim }: Chapter): Promise<void> {
  const { length } = await world.ourRoles();
  const startedAt = performance.now();
  const ran = await hallpass(world, SECURITY, 'kill', '--all', '--reason', 'the drill is over');
  const seconds = (performance.now() - startedAt) / 1000;
  claim(
    '`hallpass kill --all` ends when all has ended',
    ran.status === 0,
    `${length} logins in ${seconds.toFixed(1)} s`,
  );
  const left = await world.ourRoles();
  claim('pg_roles holds nothing of ours', left.length === 0, `${left.length} roles`);
}
