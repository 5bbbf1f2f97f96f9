import type { Context } from 'hono';
import { html } from 'hono/html';
import { sha256 } from '../../json.ts';
import type { SignInFault } from '../../sign-in/identity-provider.ts';
import type { Exchange, HttpEnv } from '../observe.ts';
import { FLOW_MS, openFlow, safeReturn, sealFlow } from './cookies.ts';
import { seeOther } from './page.ts';
import { addPage, page, type Site, sentForm } from './site.ts';

/** Sign-in with a browser: there, back, and out. */
export function addSignInRoutes(site: Site): void {
  addPage(site, 'get', '/sign-in', (c, exchange) => begin(site, c, exchange));
  addPage(site, 'get', '/sign-in/callback', (c, exchange) => finish(site, c, exchange));
  addPage(site, 'post', '/sign-out', (c, exchange) => signOut(site, c, exchange));
  addPage(site, 'get', '/signed-out', (_c, exchange) =>
    page(site, exchange, null, { title: 'You are signed out', body: again(site) }),
  );
}

async function begin(site: Site, c: Context<HttpEnv>, exchange: Exchange): Promise<Response> {
  const begun = await site.provider.begin();
  if (!begun.ok) return refused(site, begun.error, exchange);
  const { runtime } = site.border;
  const until = runtime.now() + FLOW_MS;
  const flow = { ...begun.value.flow, returnTo: safeReturn(c.req.query('return_to')), until };
  const cookie = site.cookies.write('flow', sealFlow(runtime, site.flowKey, flow), FLOW_MS);
  return seeOther(begun.value.url, [cookie], exchange);
}

async function finish(site: Site, c: Context<HttpEnv>, exchange: Exchange): Promise<Response> {
  const { cookies, provider, sessions, border, base } = site;
  const header = c.req.header('cookie');
  const now = border.runtime.now();
  const flow = openFlow(site.flowKey, cookies.read(header, 'flow') ?? '', now);
  if (flow === null)
    return refused(
      site,
      { reason: 'mismatch', detail: 'this browser began no such sign-in, or too long ago' },
      exchange,
    );
  const token = await provider.finish(new URL(c.req.url).searchParams, flow);
  if (!token.ok) return refused(site, token.error, exchange);
  const once = { id: `sign-in:${sha256(flow.state)}`, until: flow.until };
  const signedIn = await sessions.signIn(token.value, once, cookies.read(header, 'session'));
  if (!signedIn.ok) return refusedPage(site, 'refused', exchange);
  const { token: value, session } = signedIn.value;
  const set = [cookies.write('session', value, session.expiresAt - now), cookies.write('flow')];
  return seeOther(`${base}${flow.returnTo}`, set, exchange);
}

/** Nothing but the session's own page can end it: that somebody is signed out is a change too. */
async function signOut(site: Site, c: Context<HttpEnv>, exchange: Exchange): Promise<Response> {
  const sent = await sentForm(site, c, exchange, 'sign-out');
  if (!sent.ok) return sent.error;
  const token = site.cookies.read(c.req.header('cookie'), 'session');
  if (token !== null) await site.sessions.signOut(token);
  return seeOther(`${site.base}/signed-out`, [site.cookies.write('session')], exchange);
}

async function refused(site: Site, { reason, detail }: SignInFault, exchange: Exchange): Promise<Response> {
  await site.sessions.refuseSignIn(`${reason}: ${detail}`);
  return refusedPage(site, reason, exchange);
}

/** What the person can do about it. Why a token is not good here is for the log. */
const REFUSED: Readonly<Record<SignInFault['reason'], { readonly status: number; readonly text: string }>> = {
  denied: { status: 403, text: 'The identity provider says that it was denied.' },
  mismatch: {
    status: 400,
    text: 'The answer does not belong to a sign-in that this browser began lately. It may be one of another tab.',
  },
  unavailable: {
    status: 503,
    text: 'The identity provider does not answer as it should. Try again in a while.',
  },
  refused: { status: 403, text: 'The identity is not accepted here. The log of the broker says why.' },
};

async function refusedPage(site: Site, reason: SignInFault['reason'], exchange: Exchange): Promise<Response> {
  const { status, text } = REFUSED[reason];
  const response = await page(site, exchange, null, {
    status,
    title: 'You are not signed in',
    body: html`<p role="alert">${text}</p>${again(site)}`,
  });
  response.headers.append('set-cookie', site.cookies.write('flow'));
  return response;
}

function again(site: Site) {
  return html`<p><a href="${site.base}/sign-in">Sign in</a></p>`;
}
