import type { Broker } from '../../broker/broker.ts';
import type { Refusal } from '../../broker/refusal.ts';
import { refuse } from '../../broker/refuse.ts';
import type { PrincipalCaller, RequestView, Verbs } from '../../broker/verbs.ts';
import { instant } from '../../instant.ts';
import { type Json, sha256 } from '../../json.ts';
import type { Result } from '../../result.ts';
import { newId, withDeadline } from '../../runtime.ts';
import { askFacts, type Notice, requestLink } from '../notice.ts';
import { codeSpan } from '../text.ts';
import { sendJson } from './api.ts';
import { type Interaction, readInteraction, type SlackCallback } from './interaction.ts';
import { slackMessage } from './message.ts';

/** Who a user of Slack is, by the word of the configuration. */
export interface SlackUser {
  readonly issuer: string;
  readonly subject: string;
  readonly claims: Readonly<Record<string, Json>>;
}

/** A channel whose buttons count here. */
export interface SlackApp {
  readonly signingSecret: string;
  /** By their ids in Slack. Nobody else may decide. */
  readonly users: ReadonlyMap<string, SlackUser>;
  /** Where Slack is answered, and nowhere else: an origin. */
  readonly hooksOrigin: string;
}

/** Takes the clicks of Slack. */
export interface SlackDesk {
  /** `unknown`: there is no such channel. `refused`: it is not of Slack, or not of now. `taken`: whatever came of it, whoever clicked is told in Slack. */
  handle(channel: string, callback: SlackCallback): Promise<'taken' | 'refused' | 'unknown'>;
}

/** Slack waits three seconds for our answer; what it is told besides must not use them up. */
const TELL_MS = 1_500;

/**
 * A click becomes the verb that its button names, by the principal whom the configuration says the user is, for exactly
 * the digest that the button was made with. Everything else that Slack sends along (names, the message) is not looked at.
 */
export function createSlackDesk(
  broker: Broker,
  verbs: Pick<Verbs, 'approveRequest' | 'denyRequest'>,
  apps: ReadonlyMap<string, SlackApp>,
): SlackDesk {
  const { runtime, log } = broker;

  async function handle(channel: string, callback: SlackCallback) {
    const app = apps.get(channel);
    if (app === undefined) return 'unknown';
    const read = readInteraction(callback, app.signingSecret, runtime.now());
    const evidence = sha256(callback.body);
    const no = (detail: string) =>
      refuse(broker, null, {}, 'slack-click', { reason: 'unauthenticated', detail }, evidence);
    if (!read.ok) {
      await no(`slack ${channel}: ${read.error}`);
      return 'refused';
    }
    const click = read.value;
    if (click.decision === null) return 'taken';
    // Used up before it is acted on: a copy of it can do nothing later that it could not do now.
    const { id, until } = click;
    const used = await broker.committer.commit({
      evidence: [{ id, usedFor: newId(runtime), keepUntil: until }],
      events: [],
    });
    if (!used.ok) {
      await no(`slack ${channel}: replayed: it came before`);
      return 'refused';
    }
    const user = app.users.get(click.user);
    const answer =
      user === undefined
        ? await no(`slack ${channel}: user ${click.user} is nobody whom the configuration knows`)
        : await decide(verbs, callerOf(user, evidence, until), click, click.decision);
    await tell(app, click, answer);
    return 'taken';
  }

  /** Shows in Slack what came of it. It is done by then: that this fails changes nothing. */
  async function tell(
    app: SlackApp,
    click: Interaction,
    answer: Result<RequestView, Refusal>,
  ): Promise<void> {
    const url = answerUrl(click.responseUrl, app.hooksOrigin);
    if (url === null) return;
    const said = answer.ok
      ? { replace_original: true, ...decided(answer.value, click, broker.url) }
      : { replace_original: false, response_type: 'ephemeral', text: notDone(answer.error) };
    try {
      await withDeadline(runtime, TELL_MS, (signal) => sendJson(runtime, url, {}, said, signal));
    } catch (error) {
      log.warn({ err: error }, 'cannot tell Slack what came of a click');
    }
  }

  return { handle };
}

function decide(
  verbs: Pick<Verbs, 'approveRequest' | 'denyRequest'>,
  caller: PrincipalCaller,
  click: Interaction,
  { action, request, digest }: NonNullable<Interaction['decision']>,
): Promise<Result<RequestView, Refusal>> {
  return action === 'approve'
    ? verbs.approveRequest(caller, request, { digest, ttlSeconds: null })
    : verbs.denyRequest(caller, request, `Denied in Slack by ${click.user}`);
}

/** Somebody who decides by a click. It gives him no role: he can do nothing but decide. */
function callerOf(
  { issuer, subject, claims }: SlackUser,
  evidenceHash: string,
  expiresAt: number,
): PrincipalCaller {
  const proof = { method: 'slack', evidenceHash, expiresAt };
  const principal = { issuer, subject, claims: { sub: subject, ...claims }, proof };
  return { kind: 'principal', principal, roles: new Set() };
}

/** Where Slack wants to be answered, if that is Slack: the signature covers it, and we ask nobody else whatever it says. */
function answerUrl(url: string | null, origin: string): string | null {
  if (url === null || !URL.canParse(url)) return null;
  const { origin: its, username, password } = new URL(url);
  return its === origin && username === '' && password === '' ? url : null;
}

/** The message after a decision, from the broker's own knowledge. */
function decided(
  { request, onBehalfOf, waitingStage }: RequestView,
  click: Interaction,
  url: string,
): ReturnType<typeof slackMessage> {
  const { id, digest, grant, requester, ask, expiresAt, state } = request;
  const actors = requester.actors ?? [];
  const through = actors.map(({ issuer, subject }) => `, through ${subject} (${issuer})`).join('');
  const notice: Notice = {
    id,
    kind: 'request.created',
    at: instant(request.createdAt),
    title: `Approval is asked for grant ${grant}`,
    facts: askFacts({
      who: `${requester.subject} (${requester.issuer})${through}`,
      onBehalfOf,
      grant,
      ask,
      expiresAt: instant(expiresAt),
    }),
    link: requestLink(url, id),
    decide: { request: id, digest, until: expiresAt },
  };
  const waits = state === 'pending';
  const how = waits ? `One more approval; stage ${(waitingStage ?? 0) + 1} waits` : `It is ${state}`;
  return slackMessage(notice, { buttons: waits, outcome: `${how}, by <@${click.user}>` });
}

function notDone(refusal: Refusal): string {
  switch (refusal.reason) {
    case 'unauthenticated':
      return 'Not done: Hallpass does not know who you are. An operator has to add you to `users` of this channel.';
    case 'not-found':
    case 'not-allowed':
      return 'Not done: there is nothing here that you may decide, or it is decided already.';
    default:
      return `Not done: ${codeSpan(refusal.detail, 200).text}`;
  }
}
