import { createHash } from 'node:crypto';
import { html, raw } from 'hono/html';
import type { Exchange } from '../observe.ts';

/** A piece of HTML whose texts are escaped. */
export type Html = ReturnType<typeof html>;

export interface PageContent {
  readonly status: number;
  readonly title: string;
  readonly body: Html;
  /** Who is signed in, and what its forms carry; null: nobody. */
  readonly person: { readonly name: string; readonly form: string } | null;
  /** Where the broker's pages are, without a slash at the end. */
  readonly base: string;
}

/** A whole page: no script, nothing from elsewhere, in no frame, kept by no cache. */
export async function pageResponse(page: PageContent, exchange: Exchange): Promise<Response> {
  const text = await wholePage(page);
  return new Response(String(text), { status: page.status, headers: pageHeaders(exchange) });
}

/** A redirect, as a browser follows it after a form too. */
export function seeOther(location: string, cookies: readonly string[], exchange: Exchange): Response {
  const headers = new Headers({ ...pageHeaders(exchange), location });
  headers.delete('content-type');
  for (const cookie of cookies) headers.append('set-cookie', cookie);
  return new Response(null, { status: 303, headers });
}

/** `same-origin`, because without any referrer browsers send `Origin: null` with a form. */
function pageHeaders(exchange: Exchange): Record<string, string> {
  const style = createHash('sha256').update(STYLE).digest('base64');
  return {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy': `default-src 'none'; style-src 'sha256-${style}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`,
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'same-origin',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'x-request-id': exchange.id,
  };
}

function wholePage({ title, body, person, base }: PageContent): Html {
  const who = person
    ? html`<form class="who" method="post" action="${base}/sign-out">
        <span>Signed in as ${shown(person.name)}</span>
        <input type="hidden" name="form" value="${person.form}" />
        <button type="submit" class="plain">Sign out</button>
      </form>`
    : '';
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="robots" content="noindex" />
<title>${plain(title)} - Hallpass</title>
<style>${raw(STYLE)}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header><a href="${base}/requests"><strong>Hallpass</strong></a>${who}</header>
<main id="main" tabindex="-1">
<h1>${shown(title)}</h1>
${body}
</main>
</body>
</html>
`;
}

/**
 * Control and format characters (bidirectional overrides and zero-width ones among them), private and lone ones, spaces
 * that are not the space, and letters that show nothing: what could make a text read as another.
 */
const ODD = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\u115f\u1160\u2800\u3164\uffa0]|(?! )\p{Zs}/u;

/** A text from outside, each odd character in it shown by its number, and set apart from what stands around it. */
export function shown(text: string): Html {
  const pieces = text.split(new RegExp(`(${ODD.source})`, 'u'));
  return html`<bdi>${pieces.map((piece, at) => (at % 2 === 0 ? piece : html`<mark>${name(piece)}</mark>`))}</bdi>`;
}

/** The same where no element can stand. */
function plain(text: string): string {
  return text.replace(new RegExp(ODD.source, 'gu'), name);
}

function name(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
}

// Colours have a contrast of 4.5 to 1 and more in both schemes; what can be pressed is 44 px high.
const STYLE = `
:root{color-scheme:light dark;--ink:#1a1a1a;--paper:#fff;--soft:#595959;--line:#8c8c8c;--go:#0b6b2e;--stop:#a3161f;--mark:#fff0b3;--link:#0b4fb3}
@media(prefers-color-scheme:dark){:root{--ink:#f0f0f0;--paper:#161616;--soft:#b8b8b8;--line:#7d7d7d;--go:#1c7a3e;--stop:#b8323a;--mark:#5c4700;--link:#8ab8ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:46rem;padding:0 1rem 3rem;font:1rem/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);overflow-wrap:anywhere}
a{color:var(--link)}
header{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;justify-content:space-between;padding:.75rem 0;border-bottom:1px solid var(--line)}
header a,ul.list a{display:inline-block;min-height:44px;padding:.6rem 0}
.who{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center;margin:0}
.skip{position:absolute;left:-999rem}
.skip:focus{left:1rem;top:.5rem;background:var(--paper);padding:.5rem}
h1{font-size:1.4rem;line-height:1.25;margin:1.25rem 0 .75rem}
h2{font-size:1.1rem;margin:1.75rem 0 .5rem}
dl{margin:0}
dt{color:var(--soft);font-size:.9rem;margin-top:.75rem}
dd{margin:0}
pre,code{font:.9rem/1.45 ui-monospace,monospace;white-space:pre-wrap;margin:0}
mark{background:var(--mark);color:inherit;font:.85em ui-monospace,monospace;padding:0 .2em;border:1px solid var(--line)}
ul.list{list-style:none;padding:0;margin:0}
ul.list li{border-bottom:1px solid var(--line);padding:.5rem 0}
ol{margin:0;padding-left:1.25rem}
.note{border-left:4px solid var(--line);padding:.5rem .75rem;margin:1rem 0}
.note.bad{border-color:var(--stop)}
.note.good{border-color:var(--go)}
.decide{border:1px solid var(--line);padding:.25rem 1rem 1rem;margin:1rem 0}
label{display:block;margin:.75rem 0 .25rem}
.hint{color:var(--soft);font-size:.9rem;margin:.25rem 0}
input,textarea{width:100%;min-height:44px;padding:.5rem;font:inherit;color:inherit;background:var(--paper);border:1px solid var(--line)}
button{min-height:44px;padding:.5rem 1.25rem;margin-top:.75rem;font:inherit;font-weight:600;border:1px solid transparent;color:#fff;cursor:pointer}
button.go{background:var(--go)}
button.stop{background:var(--stop)}
button.plain{background:none;color:var(--ink);border-color:var(--line);margin:0;font-weight:400}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
`;
