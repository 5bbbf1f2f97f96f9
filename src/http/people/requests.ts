import type { Context } from 'hono';
import type { Refusal } from '../../broker/refusal.ts';
import type { RequestView } from '../../broker/verbs.ts';
import type { Result } from '../../result.ts';
import { ID_PATTERN } from '../../runtime.ts';
import type { Form } from '../oauth/form.ts';
import type { Exchange, HttpEnv } from '../observe.ts';
import { refusalFault } from '../wire.ts';
import { seeOther } from './page.ts';
import { listHtml, type Notice, requestHtml } from './request-page.ts';
import { addPage, faultPage, page, type Site, sentForm, type Visitor, visitor } from './site.ts';

/** The approver's page: the same verbs as the API's, for somebody with a browser and nothing else. */
export function addRequestPages(site: Site): void {
  addPage(site, 'get', '/requests', (c, exchange) => list(site, c, exchange));
  addPage(site, 'get', '/requests/{id}', (c, exchange) => one(site, c, exchange));
  addPage(site, 'post', '/requests/{id}/approve', (c, exchange) => decide(site, c, exchange, 'approve'));
  addPage(site, 'post', '/requests/{id}/deny', (c, exchange) => decide(site, c, exchange, 'deny'));
}

/** What the form that led here did, if it is so: a link alone makes nobody believe it. */
function noticeOf(c: Context<HttpEnv>, { request }: RequestView, who: Visitor): Notice | null {
  const done = c.req.query('done');
  if (done === 'deny' && request.state === 'denied') return { text: 'It is denied.', good: true };
  const counts = request.approvals.some(({ by }) => isWho(by, who));
  return done === 'approve' && counts ? { text: 'Your approval counts.', good: true } : null;
}

function isWho(one: { readonly issuer: string; readonly subject: string }, { session }: Visitor): boolean {
  const { issuer, subject } = session.caller.principal;
  return one.issuer === issuer && one.subject === subject;
}

async function list(site: Site, c: Context<HttpEnv>, exchange: Exchange): Promise<Response> {
  const here = await visitor(site, c, exchange);
  if (!here.ok) return faultPage(site, here.error, null, exchange);
  if (here.value === null) return seeOther(`${site.base}/sign-in`, [], exchange);
  const { verbs, runtime } = site.border;
  const views = await verbs.listRequests(here.value.session.caller);
  if (!views.ok) return faultPage(site, refusalFault(views.error), here.value, exchange);
  const body = listHtml(views.value, site.base, runtime.now());
  return page(site, exchange, here.value, { title: 'Requests for approval', body });
}

async function one(site: Site, c: Context<HttpEnv>, exchange: Exchange): Promise<Response> {
  const here = await visitor(site, c, exchange);
  if (!here.ok) return faultPage(site, here.error, null, exchange);
  const id = idOf(c);
  if (here.value === null)
    return seeOther(`${site.base}/sign-in?return_to=${encodeURIComponent(`/requests/${id}`)}`, [], exchange);
  const view = await site.border.verbs.readRequest(here.value.session.caller, id);
  if (!view.ok) return faultPage(site, refusalFault(view.error), here.value, exchange);
  return requestPage(site, exchange, here.value, view.value, {
    notice: noticeOf(c, view.value, here.value),
  });
}

async function decide(
  site: Site,
  c: Context<HttpEnv>,
  exchange: Exchange,
  how: 'approve' | 'deny',
): Promise<Response> {
  const sent = await sentForm(site, c, exchange, `${how}-request`);
  if (!sent.ok) return sent.error;
  const { form, visitor: who } = sent.value;
  const id = idOf(c);
  const done = await (how === 'approve' ? approve(site, who, id, form) : deny(site, who, id, form));
  if (typeof done !== 'string' && done.ok)
    return seeOther(`${site.base}/requests/${id}?done=${how}`, [], exchange);
  // What it is now, with why it stayed so; a request that he may not see stays unseen.
  const view = await site.border.verbs.readRequest(who.session.caller, id);
  if (!view.ok) return faultPage(site, refusalFault(view.error), who, exchange);
  const [status, text] = typeof done === 'string' ? [400, done] : told(done.error);
  const reason = form.get('reason')?.[0];
  return requestPage(site, exchange, who, view.value, {
    status,
    notice: { text, good: false },
    ...(reason === undefined ? {} : { reason }),
  });
}

type Decided = Result<RequestView, Refusal> | string;

/** The approval names the digest of what the page showed: another request, or an edited one, is not approved by it. */
async function approve({ border }: Site, who: Visitor, id: string, form: Form): Promise<Decided> {
  const digest = form.get('digest')?.[0] ?? '';
  const minutes = form.get('minutes')?.[0];
  if (minutes !== undefined && !/^[1-9]\d{0,5}$/.test(minutes))
    return 'Write the minutes as a whole number, or leave them out. Nothing was changed.';
  const ttlSeconds = minutes === undefined ? null : Number(minutes) * 60;
  return border.verbs.approveRequest(who.session.caller, id, { digest, ttlSeconds });
}

async function deny({ border }: Site, who: Visitor, id: string, form: Form): Promise<Decided> {
  const reason = form.get('reason')?.[0]?.trim() ?? '';
  if (reason === '' || reason.length > 1000)
    return 'Say why it is denied, in up to 1000 characters. Nothing was changed.';
  return border.verbs.denyRequest(who.session.caller, id, reason);
}

function told(refusal: Refusal): readonly [number, string] {
  switch (refusal.reason) {
    case 'not-allowed':
      return [
        403,
        'Nothing was changed. You may not decide on this request now: nobody decides on what he asked for himself, approves twice, or at a stage that is not his; and what changed meanwhile is to be looked at again.',
      ];
    case 'in-progress':
      return [409, 'Nothing was changed: somebody else decided at the same time. Look at it as it is now.'];
    default:
      return [400, `Nothing was changed. ${refusalFault(refusal).detail ?? ''}`];
  }
}

function requestPage(
  { border, base, ...site }: Site,
  exchange: Exchange,
  who: Visitor,
  view: RequestView,
  {
    status = 200,
    ...more
  }: { readonly status?: number; readonly notice: Notice | null; readonly reason?: string },
): Promise<Response> {
  const own = isWho(view.request, who);
  const body = requestHtml({ view, own, form: who.form, base, now: border.runtime.now(), ...more });
  const title = `${view.request.ask.task} by ${view.request.grant}`;
  return page({ border, base, ...site }, exchange, who, { status, title, body });
}

/** What is no id is nobody's request: one answer for all that is not to be seen. */
function idOf(c: Context<HttpEnv>): string {
  const id = c.req.param('id') ?? '';
  return ID_PATTERN.test(id) ? id : 'none';
}
