import type { Context } from 'hono';
import { html } from 'hono/html';
import type { PersonSession, SessionVerbs } from '../../broker/session.ts';
import { err, ok, type Result } from '../../result.ts';
import type { IdentityProvider } from '../../sign-in/identity-provider.ts';
import { admit, type Border, withinBounds } from '../endpoint.ts';
import { type Form, readForm } from '../oauth/form.ts';
import { type Exchange, type HttpEnv, observed } from '../observe.ts';
import { type Fault, PROBLEMS, retryAfterSeconds } from '../wire.ts';
import { type Cookies, createCookies, formToken, isFormToken, isFromOurPage } from './cookies.ts';
import { type Html, pageResponse } from './page.ts';

/** What pages for people stand on, beside what the API does. */
export interface People {
  readonly sessions: SessionVerbs;
  readonly provider: IdentityProvider;
  /** 32 bytes that all replicas share: seals what a browser carries through a sign-in. */
  readonly flowKey: Uint8Array;
}

/** One broker's pages. */
export interface Site extends People {
  readonly border: Border;
  readonly cookies: Cookies;
  /** The path of the broker's URL, without a slash at the end: links begin with it. */
  readonly base: string;
}

export function createSite(border: Border, people: People): Site {
  const base = new URL(border.url).pathname.replace(/\/+$/, '');
  return { ...people, border, base, cookies: createCookies(border.url) };
}

export type Served = (c: Context<HttpEnv>, exchange: Exchange) => Promise<Response>;

/** Serves a page within the bounds that hold for the API. */
export function addPage(site: Site, method: 'get' | 'post', path: string, serve: Served): void {
  const { border } = site;
  border.app.on(
    method,
    path.replace('{id}', ':id'),
    observed(border, path, async (c, exchange) => {
      const bounded = await withinBounds(border, false, c);
      if (!bounded.ok) return faultPage(site, bounded.error, null, exchange);
      try {
        return await serve(c, exchange);
      } finally {
        bounded.value();
      }
    }),
  );
}

/** Somebody who is signed in, as pages need him. */
export interface Visitor {
  readonly session: PersonSession;
  /** What his forms carry. */
  readonly form: string;
}

/** Who looks at a page; null: nobody who is signed in. */
export async function visitor(
  site: Site,
  c: Context<HttpEnv>,
  exchange: Exchange,
): Promise<Result<Visitor | null, Fault>> {
  const token = site.cookies.read(c.req.header('cookie'), 'session');
  const session = token === null ? null : await site.sessions.resume(token);
  if (token === null || session === null) return ok(null);
  const admitted = admit(site.border, session.caller, exchange);
  return admitted.ok ? ok({ session, form: formToken(token) }) : admitted;
}

/**
 * Who sent a form, and what he wrote. That it came from a page of ours, and one of this very session, is shown twice
 * over; what does not show it is refused, and logged as his.
 */
export async function sentForm(
  site: Site,
  c: Context<HttpEnv>,
  exchange: Exchange,
  what: string,
): Promise<Result<{ readonly visitor: Visitor; readonly form: Form }, Response>> {
  const here = await visitor(site, c, exchange);
  if (!here.ok) return err(await faultPage(site, here.error, null, exchange));
  if (here.value === null) return err(await endedPage(site, exchange));
  const foreign = async (detail: string) => {
    await site.sessions.refuse(here.value?.session ?? null, what, `csrf: ${detail}`);
    return err(await foreignPage(site, here.value, exchange));
  };
  const headers = { origin: c.req.header('origin'), site: c.req.header('sec-fetch-site') };
  if (!isFromOurPage(headers, site.border.url)) return foreign('the form came from elsewhere');
  const form = await readForm(c.req.raw, site.border.limits);
  if (!form.ok) return err(await faultPage(site, { code: 'invalid-request' }, here.value, exchange));
  const token = site.cookies.read(c.req.header('cookie'), 'session') ?? '';
  if (!isFormToken(token, form.value.get('form')?.[0])) return foreign('the form is of another session');
  return ok({ visitor: here.value, form: form.value });
}

export function page(
  site: Site,
  exchange: Exchange,
  who: Visitor | null,
  content: { readonly status?: number; readonly title: string; readonly body: Html },
): Promise<Response> {
  const person = who && { name: nameOf(who.session), form: who.form };
  return pageResponse({ status: 200, ...content, person, base: site.base }, exchange);
}

/** The name that a person knows as his own; the subject is what counts. */
function nameOf({ caller: { principal } }: PersonSession): string {
  const { email, preferred_username: username, name } = principal.claims;
  const known = [email, username, name].find((claim) => typeof claim === 'string' && claim !== '');
  return typeof known === 'string' ? known.slice(0, 100) : principal.subject;
}

/** What kept a page from being served, in the words of the API's problems. */
export async function faultPage(
  site: Site,
  fault: Fault,
  who: Visitor | null,
  exchange: Exchange,
): Promise<Response> {
  const { status, title } = PROBLEMS[fault.code];
  const response = await page(site, exchange, who, {
    status,
    title,
    body: html`<p>${fault.detail ?? ''}</p><p><a href="${site.base}/requests">All requests</a></p>`,
  });
  if (fault.retryAfterMs !== undefined)
    response.headers.set('retry-after', String(retryAfterSeconds(fault.retryAfterMs)));
  return response;
}

function endedPage(site: Site, exchange: Exchange): Promise<Response> {
  return page(site, exchange, null, {
    status: 401,
    title: 'You are not signed in any more',
    body: html`<p>Nothing was changed.</p><p><a href="${site.base}/sign-in">Sign in</a></p>`,
  });
}

function foreignPage(site: Site, who: Visitor | null, exchange: Exchange): Promise<Response> {
  return page(site, exchange, who, {
    status: 403,
    title: 'This did not come from this page',
    body: html`<p role="alert">Nothing was changed. Open the request here and decide on it anew.</p>
<p><a href="${site.base}/requests">All requests</a></p>`,
  });
}
