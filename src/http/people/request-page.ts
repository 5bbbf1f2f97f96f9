import { html } from 'hono/html';
import type { RequestView } from '../../broker/verbs.ts';
import { type Html, shown } from './page.ts';

/** What of a request an approver is shown, each under its name, in this order. */
export interface Field {
  readonly label: string;
  readonly value: Html;
}

/** Every field of a request, from the broker's own knowledge. Whatever a request comes to have is added here. */
export function fieldsOf({ request, onBehalfOf }: RequestView, now: number): readonly Field[] {
  const { ask } = request;
  const parameters = Object.entries(ask.parameters);
  const { ticket, notBefore, practice, taskGrant } = ask;
  return [
    ...(practice === undefined ? [] : [{ label: 'Practice', value: html`Nothing is issued` }]),
    { label: 'Who asks', value: identity(request) },
    ...(onBehalfOf.length === 0 ? [] : [{ label: 'On behalf of', value: shown(onBehalfOf.join(', ')) }]),
    ...(request.requester.actors ?? []).map((actor) => ({ label: 'Through', value: identity(actor) })),
    { label: 'Why', value: ask.purpose === null ? html`<em>No reason given</em>` : shown(ask.purpose) },
    ...(ticket === undefined ? [] : [{ label: 'Ticket', value: shown(ticket) }]),
    ...(notBefore === undefined ? [] : [{ label: 'Not before', value: time(notBefore, now) }]),
    { label: 'Task', value: shown(ask.task) },
    ...(taskGrant === null ? [] : [{ label: 'Task grant', value: shown(taskGrant) }]),
    { label: 'Grant', value: shown(request.grant) },
    ...(parameters.length === 0 ? [] : [{ label: 'Parameters', value: document(ask.parameters) }]),
    ...ask.credentials.map((credential) => ({
      label: `Credential ${credential.name}`,
      value: html`${shown(credential.target)}, for ${span(credential.ttlSeconds)}${
        credential.capSeconds > credential.ttlSeconds
          ? html`, with renewals for up to ${span(credential.capSeconds)}`
          : ''
      }${document(credential.scope)}`,
    })),
    { label: 'Asked', value: time(request.createdAt, now) },
    { label: 'Lapses', value: time(request.expiresAt, now) },
  ];
}

/** What stands beside the digest: how far it has come. */
function progress({ request, stages, waitingStage }: RequestView, now: number): Html {
  return html`<h2>Approvals</h2>
<ol>${stages.map(
    (needed, at) =>
      html`<li>Stage ${at + 1} of ${stages.length}: ${needed === 1 ? 'one approval' : `${needed} approvals`}${
        waitingStage === null || at < waitingStage ? ', complete' : at === waitingStage ? ', waits now' : ''
      }</li>`,
  )}</ol>
${
  request.approvals.length === 0
    ? html`<p>Nobody has approved yet.</p>`
    : html`<ul>${request.approvals.map(
        ({ by, at, ttlSeconds }) =>
          html`<li>${identity(by)}, ${time(at, now)}${ttlSeconds === null ? '' : html`, for at most ${span(ttlSeconds)}`}</li>`,
      )}</ul>`
}`;
}

const STATES: Readonly<Record<RequestView['request']['state'], string>> = {
  pending: 'Waits for approval',
  approved: 'Approved: it may be opened',
  denied: 'Denied',
  expired: 'Lapsed',
  cancelled: 'Taken back',
  redeemed: 'Approved, and opened',
};

/** What became of a form that was sent, told once. */
export interface Notice {
  readonly text: string;
  readonly good: boolean;
}

export interface RequestPage {
  readonly view: RequestView;
  /** Whether whoever looks is whoever asked. */
  readonly own: boolean;
  readonly form: string;
  readonly base: string;
  readonly now: number;
  readonly notice: Notice | null;
  /** What was written into the form that is shown again. */
  readonly reason?: string;
}

/** One request: what it is, how far it has come, and the two answers to it. */
export function requestHtml(page: RequestPage): Html {
  const { view, own, now, notice } = page;
  const { request } = view;
  const open = request.state === 'pending' || request.state === 'approved';
  return html`${noticeHtml(notice)}
<p><strong>${STATES[request.state]}</strong>${request.reason === null ? '' : html`: ${shown(request.reason)}`}</p>
<dl>${fieldsOf(view, now).map(({ label, value }) => html`<dt>${shown(label)}</dt><dd>${value}</dd>`)}
<dt>Digest of exactly this</dt><dd><code>${request.digest}</code></dd></dl>
${progress(view, now)}
${open && own ? html`<p class="note">You asked for this yourself: somebody else decides.</p>` : ''}
${open && !own ? decisions(page) : ''}
<p><a href="${page.base}/requests">All requests</a></p>`;
}

function noticeHtml(notice: Notice | null): Html | string {
  if (notice === null) return '';
  return html`<p class="note ${notice.good ? 'good' : 'bad'}" role="${notice.good ? 'status' : 'alert'}">${notice.text}</p>`;
}

/** The forms name the digest of what is shown here: what has changed by the time they are sent is not approved by them. */
function decisions({ view: { request }, form, base, reason = '' }: RequestPage): Html {
  const action = `${base}/requests/${request.id}`;
  const longest = Math.max(...request.ask.credentials.map(({ capSeconds }) => capSeconds));
  const approve = html`<form class="decide" method="post" action="${action}/approve">
<input type="hidden" name="form" value="${form}" />
<input type="hidden" name="digest" value="${request.digest}" />
<label for="minutes">For at most so many minutes (optional)</label>
<input id="minutes" name="minutes" type="number" inputmode="numeric" min="1" max="${Math.max(1, Math.ceil(longest / 60))}" step="1" aria-describedby="minutes-hint" />
<p class="hint" id="minutes-hint">Shortens what was asked. Leave it empty to approve what was asked.</p>
<button type="submit" class="go">Approve</button>
</form>`;
  return html`<h2>Decide</h2>
${request.state === 'pending' ? approve : ''}
<form class="decide" method="post" action="${action}/deny">
<input type="hidden" name="form" value="${form}" />
<label for="reason">Why it is denied</label>
<textarea id="reason" name="reason" rows="2" required maxlength="1000" aria-describedby="reason-hint">${reason}</textarea>
<p class="hint" id="reason-hint">Whoever asked reads it, and the log keeps it. One denial ends the request.</p>
<button type="submit" class="stop">Deny</button>
</form>`;
}

/** The requests that somebody may see. Those that wait come first. */
export function listHtml(views: readonly RequestView[], base: string, now: number): Html {
  const waiting = views.filter(({ request }) => request.state === 'pending');
  const others = views.filter(({ request }) => request.state !== 'pending');
  const item = ({ request, onBehalfOf }: RequestView) => html`<li>
<a href="${base}/requests/${request.id}">${shown(request.ask.task)} by ${shown(request.grant)}</a>
<div>${identity(request)}${onBehalfOf.length === 0 ? '' : html`, for ${shown(onBehalfOf.join(', '))}`}</div>
<div>${request.ask.purpose === null ? '' : shown(request.ask.purpose)}</div>
<div class="hint">${STATES[request.state]}, lapses ${time(request.expiresAt, now)}</div>
</li>`;
  return html`${
    waiting.length === 0
      ? html`<p>Nothing waits for you.</p>`
      : html`<ul class="list">${waiting.map(item)}</ul>`
  }
${others.length === 0 ? '' : html`<h2>Approved, and not opened yet</h2><ul class="list">${others.map(item)}</ul>`}`;
}

function identity({ issuer, subject }: { readonly issuer: string; readonly subject: string }): Html {
  return html`${shown(subject)} at ${shown(issuer)}`;
}

function document(value: unknown): Html {
  const lines = JSON.stringify(value, null, 2).split('\n');
  return html`<pre>${lines.map((line, at) => html`${at === 0 ? '' : '\n'}${shown(line)}`)}</pre>`;
}

/** In UTC, since a server does not know where its reader is, and from now, since he does. */
function time(at: number, now: number): Html {
  const instant = new Date(at).toISOString();
  const away = span(Math.round(Math.abs(at - now) / 1000));
  return html`<time datetime="${instant}">${instant.slice(0, 16).replace('T', ' ')} UTC</time> (${at > now ? `in ${away}` : `${away} ago`})`;
}

/** A duration in words, to the two largest units. */
function span(seconds: number): string {
  const units = [
    ['day', 86_400],
    ['hour', 3600],
    ['minute', 60],
    ['second', 1],
  ] as const;
  const words: string[] = [];
  let rest = seconds;
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) words.push(`${count} ${unit}${count === 1 ? '' : 's'}`);
  }
  return words.slice(0, 2).join(' ') || '0 seconds';
}
