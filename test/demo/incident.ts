import { randomBytes } from 'node:crypto';
import type { Client } from '../../src/client/client.ts';
import type { TaskHandle } from '../../src/client/task.ts';
import type { ApprovalRequest } from '../../src/http/contract.ts';
import { APPROVE } from '../../src/notify/slack/message.ts';
import type { Posted } from '../fakes/slack.ts';
import { hallpass } from './command.ts';
import {
  ADA,
  ADA_ADMIN,
  BEN,
  BEN_PHONE,
  DORA,
  type IncidentWorld,
  REPAIR,
  SECURITY,
  TTL_SECONDS,
} from './incident-world.ts';
import type { Chapter, Reporter } from './report.ts';
import { claimCutInTime, login, problemOf, theOne, tryLogin, until } from './tools.ts';

/** A request that waits, the message that told of it, and the task that comes of it. */
interface Asked {
  readonly request: ApprovalRequest;
  readonly message: Posted;
  readonly opening: Promise<TaskHandle>;
}

const HERSELF = [
  ['Ada', ADA],
  ['Ada by her other account', ADA_ADMIN],
] as const;

/** The whole of a break-glass, from the ask to the review that is closed; answers the task's id. */
export async function theIncident(world: IncidentWorld, reporter: Reporter): Promise<string> {
  const asked = await ask(world, reporter.chapter('At night, Ada asks for production'));
  await forbidden(world, asked, reporter.chapter('Nobody approves for himself, and nobody for others'));
  await approvals(world, asked, reporter.chapter('Two others approve: one in a terminal, one in Slack'));
  const task = await use(world, asked, reporter.chapter('The credential appears, works, and ends by itself'));
  await review(world, task.id, reporter.chapter('The review afterwards'));
  return task.id;
}

async function ask(world: IncidentWorld, { claim }: Chapter): Promise<Asked> {
  const ada = world.clientFor(ADA);
  const { purpose: _, ...withoutReason } = REPAIR;
  const silent = await problemOf(ada.openTask(withoutReason));
  claim('without a reason she is refused', silent === 'not-allowed', silent);
  const loose = await problemOf(ada.openTask({ ...REPAIR, ticket: 'later' }));
  claim('without a ticket of an incident too', loose === 'not-allowed', loose);
  const { request, opening } = await askFor(ada, REPAIR);
  claim('with both her task waits for approval', request.state === 'pending', `request ${request.id}`);
  const message = await until(async () =>
    world.slack.posted.find(({ buttons }) => buttons.some(({ value }) => value.includes(request.id))),
  );
  const shown = ['ada', REPAIR.purpose, REPAIR.ticket].every((text) => message?.mrkdwn.includes(text));
  claim('Slack is told who, why and for which ticket, with buttons', shown);
  if (message === undefined) throw new Error('Without a message in Slack the story ends here');
  claim('the warehouse has no login for her', (await world.ourRoles()).length === 0);
  return { request, message, opening };
}

async function forbidden(world: IncidentWorld, { request, message }: Asked, { claim }: Chapter) {
  const { id, digest } = request;
  for (const [who, identity] of HERSELF) {
    const self = await problemOf(world.clientFor(identity).approveRequest(id, digest));
    claim(`${who} cannot approve it`, self === 'not-allowed', self);
  }
  const hers = world.slack.click(message, APPROVE, 'U0ADA');
  await world.callback(hers);
  const answer = await until(async () => world.slack.answered[0]);
  claim('her own click in Slack does nothing', told(answer).startsWith('Not done'), told(answer));
  const forged = world.slack.click(message, APPROVE, 'U0CLEO');
  const unsigned = await world.callback({
    ...forged,
    headers: { ...forged.headers, 'x-slack-signature': `v0=${randomBytes(32).toString('hex')}` },
  });
  claim('a click for Cleo that Slack did not sign is refused', unsigned === 401, `HTTP ${unsigned}`);
  const own = world.slack.click(message, APPROVE, 'U0ADA');
  const altered = await world.callback({ ...own, body: own.body.replaceAll('U0ADA', 'U0CLEO') });
  claim('so is one of her own with the name of Cleo put in', altered === 401, `HTTP ${altered}`);
  const { state, approvals: given } = await world.clientFor(BEN).readRequest(id);
  claim('nobody has approved so far', state === 'pending' && given.length === 0, `${given.length} approvals`);
}

function told(answer: Record<string, unknown> | undefined): string {
  return typeof answer?.text === 'string' ? answer.text : 'no answer';
}

async function approvals(
  world: IncidentWorld,
  { request: { id, digest }, message }: Asked,
  { claim }: Chapter,
) {
  const first = await hallpass(world, BEN, 'approve', id, '--digest', digest);
  claim('`hallpass approve` by Ben counts', first.status === 0, lastLine(first.err));
  for (const [how, identity] of [
    ['', BEN],
    [', nor by his other account', BEN_PHONE],
  ] as const) {
    await problemOf(world.clientFor(identity).approveRequest(id, digest));
    const { state } = await world.clientFor(BEN).readRequest(id);
    claim(`he does not count twice${how}`, state === 'pending', state);
  }
  const click = world.slack.click(message, APPROVE, 'U0CLEO');
  const taken = await world.callback(click);
  const { state, approvals: given } = await world.clientFor(SECURITY).readRequest(id);
  const enough = (state === 'approved' || state === 'redeemed') && given.length === 2;
  claim('with the click of Cleo in Slack it is approved', taken === 200 && enough, state);
  const again = await world.callback(click);
  claim('the same click once more is refused', again === 401, `HTTP ${again}`);
}

const lastLine = (text: string) => text.trim().split('\n').at(-1) ?? '';

async function use(world: IncidentWorld, { opening }: Asked, { claim }: Chapter): Promise<TaskHandle> {
  const task = await opening;
  const credential = theOne(task);
  const session = await login(credential);
  const { rowCount } = await session.query("update sales set region = 'eu' where region = 'us'");
  claim('Ada repairs the sales', rowCount === 300, `as ${credential.lease.name}, ${rowCount} rows`);
  const payroll = await session.query('select from payroll').then(
    () => 'read',
    (error: { code?: string }) => error.code,
  );
  claim('she is refused the payroll by the database', payroll === '42501', `SQLSTATE ${payroll}`);
  const reader = world.clientFor(SECURITY);
  const says = `after ${TTL_SECONDS} s her open session is cut, with nobody asking`;
  await claimCutInTime(claim, says, { session, credential, reader });
  const again = await tryLogin(credential);
  claim('the login is refused', again === '28P01', `SQLSTATE ${again}`);
  return task;
}

async function review(world: IncidentWorld, taskId: string, { claim }: Chapter): Promise<void> {
  const overdue = await until(async () =>
    (await world.clientFor(DORA).reviews()).find((one) => one.task === taskId && one.overdue),
  );
  claim('it falls due', overdue !== undefined, `review ${overdue?.id}, of ${overdue?.people.join()}`);
  if (overdue === undefined) return;
  for (const [who, identity] of HERSELF) {
    const next = await problemOf(world.clientFor(identity).openTask({ ...REPAIR, task: 'incident-8' }));
    claim(`until it is closed ${who} breaks no glass`, next === 'review-overdue', next);
  }
  const finding = 'three hundred rows moved, as the ticket says';
  for (const [who, identity] of HERSELF) {
    const own = await problemOf(world.clientFor(identity).closeReview(overdue.id, finding));
    claim(`${who} cannot close it`, own === 'not-allowed', own);
  }
  const closed = await hallpass(world, DORA, 'review', 'close', overdue.id, '--finding', finding);
  claim('Dora closes it with what she found', closed.status === 0, lastLine(closed.err));
  await askAgain(world, claim);
}

/** She may ask again, and takes it back. */
async function askAgain(world: IncidentWorld, claim: Chapter['claim']): Promise<void> {
  const ada = world.clientFor(ADA);
  const next = await askFor(ada, { ...REPAIR, task: 'incident-8' }).catch(() => null);
  claim('then Ada may ask again', next?.request.state === 'pending', next?.request.state ?? 'refused');
  if (next === null) return;
  await ada.cancelRequest(next.request.id, 'all is well');
  await next.opening.catch(() => {});
}

/** Asks for a task until it waits for approval; what was asked for goes on waiting. */
function askFor(client: Client, wish: typeof REPAIR): Promise<Omit<Asked, 'message'>> {
  return new Promise((resolve, reject) => {
    const onAwaiting = (request: ApprovalRequest) => resolve({ request, opening });
    const opening = client.openTask(wish, { onAwaiting });
    opening.catch(reject);
  });
}
