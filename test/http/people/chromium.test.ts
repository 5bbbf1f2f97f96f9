import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { systemRuntime } from '../../../src/runtime.ts';
import { createPeopleWorld, type PeopleWorld } from './world.ts';

const CHROMIUM = '/usr/bin/chromium';
const MISSING = existsSync(CHROMIUM) ? null : 'needs a browser (Debian chromium)';

/** A small phone. */
const PHONE = { width: 360, height: 740 };

let world: PeopleWorld;
let browser: Browser;

beforeAll(async () => {
  if (MISSING !== null) return;
  world = await createPeopleWorld({ runtime: systemRuntime });
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
});
afterAll(async () => {
  await browser?.close();
  await world?.[Symbol.asyncDispose]();
});
beforeEach((ctx) => {
  if (MISSING !== null) ctx.skip(MISSING);
});

/** A person's browser, and everything that went wrong in it. */
async function visit(options: Parameters<Browser['newContext']>[0] = {}) {
  const context = await browser.newContext({ viewport: PHONE, isMobile: true, hasTouch: true, ...options });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => void complaints.push(message.text()));
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  return { context, page, complaints };
}

/** Types a name at the identity provider's own page. */
async function signIn(page: Page, name: string, path = '/requests'): Promise<void> {
  world.provider.signInAs(null);
  await page.goto(`${world.url}${path}`);
  await page.getByLabel('Name').fill(name);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL(`${world.url}${path}`);
}

async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env.HALLPASS_SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

/** What sticks out of the screen, and what is too small for a finger. */
const faultsOfLayout = (page: Page) =>
  page.evaluate(`(() => {
    const faults = [];
    if (document.documentElement.scrollWidth > innerWidth) faults.push('wider than the screen');
    for (const one of document.querySelectorAll('button, input:not([type=hidden]), textarea, header a, .list a')) {
      const { height, left, right } = one.getBoundingClientRect();
      if (height < 44 || left < 0 || right > innerWidth) faults.push(one.outerHTML.slice(0, 80));
    }
    return faults;
  })()`);

const state = async (id: string) => (await world.operator.readRequest(id)).state;

describe('in Chromium, at 360 by 740', () => {
  it('a person signs in, sees a request and approves it, without a script', async () => {
    const request = await world.ask('The nightly orders are stuck: one statement has to be repaired by hand');
    const { context, page, complaints } = await visit({ javaScriptEnabled: false });
    world.provider.signInAs('ada');
    await page.goto(`${world.url}/requests`);
    expect(page.url()).toBe(`${world.url}/requests`);
    await page.getByRole('link', { name: request.task }).click();
    await page.getByText('The nightly orders are stuck').waitFor();
    expect(await page.getByText(request.digest).isVisible()).toBe(true);
    await picture(page, 'request');
    await page.getByLabel('For at most so many minutes').fill('5');
    await page.getByRole('button', { name: 'Approve' }).tap();
    await page.getByText('Your approval counts').waitFor();
    await picture(page, 'approved');
    expect(await world.operator.readRequest(request.id)).toMatchObject({
      state: 'approved',
      approvals: [{ by: { subject: 'ada' }, ttl_seconds: 300 }],
    });
    expect(await cookiesOf(context)).toMatchObject([
      { name: 'hallpass-session', httpOnly: true, sameSite: 'Lax', path: '/' },
    ]);
    expect(complaints).toEqual([]);
  });

  it('fits, in light and dark, and what can be pressed is large enough', async () => {
    const request = await world.ask(`A reason without a place to break it: ${'x'.repeat(300)}`);
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, complaints } = await visit({ colorScheme });
      await signIn(page, 'ada');
      expect(await faultsOfLayout(page)).toEqual([]);
      await picture(page, `list-${colorScheme}`);
      await page.goto(`${world.url}/requests/${request.id}`);
      expect(await faultsOfLayout(page)).toEqual([]);
      await picture(page, `request-${colorScheme}`);
      expect(complaints).toEqual([]);
    }
  });

  it('is used with a keyboard alone: every field has its name, and the focus is seen', async () => {
    const request = await world.ask('by keyboard');
    const { page } = await visit();
    await signIn(page, 'ada', `/requests/${request.id}`);
    const names: string[] = [];
    for (let stop = 0; stop < 9; stop++) {
      await page.keyboard.press('Tab');
      const [name, outline] = (await page.evaluate(`(() => {
        const one = document.activeElement;
        const label = one.labels?.[0]?.textContent ?? one.textContent;
        return [label.trim(), getComputedStyle(one).outlineStyle];
      })()`)) as [string, string];
      names.push(name);
      expect(outline).not.toBe('none');
      if (name === 'Why it is denied') break;
    }
    expect(names).toEqual([
      'Skip to the content',
      'Hallpass',
      'Sign out',
      'For at most so many minutes (optional)',
      'Approve',
      'Why it is denied',
    ]);
    await page.keyboard.type('not now');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText('It is denied.').waitFor();
    expect(await state(request.id)).toBe('denied');
  });

  it('keeps contrast: text at 4.5 to 1 and more, in both schemes', async () => {
    const request = await world.ask('contrast');
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page } = await visit({ colorScheme });
      await signIn(page, 'ada', `/requests/${request.id}`);
      expect(await page.evaluate(CONTRAST)).toEqual([]);
    }
  });

  it('lets nobody approve what he asked himself', async () => {
    const request = await world.askFor('repair', 'my own', {}, 'linus');
    const { page } = await visit();
    await signIn(page, 'linus', `/requests/${request.id}`);
    await page.getByText('You asked for this yourself').waitFor();
    expect(await page.getByRole('button', { name: 'Approve' }).count()).toBe(0);
    // Nor by a form that he makes of what the page gives him.
    await page.evaluate(`(() => {
      const form = document.querySelector('form.who').cloneNode(true);
      form.action = location.pathname + '/approve';
      const digest = Object.assign(document.createElement('input'), { name: 'digest', value: '${request.digest}' });
      form.append(digest);
      document.body.append(form);
      form.submit();
    })()`);
    await page.getByRole('alert').getByText('You may not decide').waitFor();
    expect(await state(request.id)).toBe('pending');
  });

  it('runs nothing that a reason brings', async () => {
    const purpose = `</p></bdi><script>alert(1)</script><img src=x onerror=alert(2)><a href="javascript:alert(3)">go</a><style>*{display:none}</style> \u202Eevil`;
    const request = await world.ask(purpose);
    const { page, complaints } = await visit();
    await signIn(page, 'ada');
    await page.goto(`${world.url}/requests/${request.id}`);
    expect(await page.locator('dd').filter({ hasText: 'evil' }).innerText()).toContain(
      '<script>alert(1)</script><img src=x onerror=alert(2)>',
    );
    expect(await page.getByText('U+202E').isVisible()).toBe(true);
    expect(await page.locator('main script, main img, main style, main a[href^=javascript]').count()).toBe(0);
    expect(complaints).toEqual([]);
    await picture(page, 'hostile');
    // Where a tag came through after all, the policy would keep it from running.
    await page.evaluate(
      "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')",
    );
    await expect.poll(() => complaints.join()).toContain('Content Security Policy');
    expect(await page.evaluate('window.ran ?? 0')).toBe(0);
  });

  it('a form of another site changes nothing, though the person is signed in', async () => {
    const request = await world.ask('from elsewhere');
    const { context, page } = await visit();
    await signIn(page, 'ada', `/requests/${request.id}`);
    const form = await page.locator('form.who input[name=form]').inputValue();
    // Another site of the same host, to which a browser gives Lax cookies: only what the form shows keeps it out.
    const evil = await context.newPage();
    await evil.route('http://127.0.0.1:1/**', (route) =>
      route.fulfill({
        contentType: 'text/html',
        body: `<form method="post" action="${world.url}/requests/${request.id}/approve">
          <input name="form" value="${form}"><input name="digest" value="${request.digest}"></form>
          <script>document.forms[0].submit()</script>`,
      }),
    );
    await evil.goto('http://127.0.0.1:1/');
    await evil.getByText('This did not come from this page').waitFor();
    expect(await state(request.id)).toBe('pending');
    expect((await world.events('request.refused')).at(-1)).toMatchObject({
      actor: { subject: 'ada' },
      data: { detail: 'csrf: the form came from elsewhere' },
    });
  });

  it('is shown in no frame', async () => {
    const { context, page } = await visit();
    await signIn(page, 'ada');
    const evil = await context.newPage();
    await evil.route('http://127.0.0.1:1/**', (route) =>
      route.fulfill({ contentType: 'text/html', body: `<iframe src="${world.url}/requests"></iframe>` }),
    );
    await evil.goto('http://127.0.0.1:1/');
    await expect.poll(() => evil.frames()[1]?.url()).toBe('chrome-error://chromewebdata/');
  });

  it('signs out for good', async () => {
    const { context, page } = await visit();
    await signIn(page, 'ada');
    const before = await cookiesOf(context);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out').waitFor();
    await context.addCookies(before);
    world.provider.signInAs(null);
    const again = await page.request.get(`${world.url}/requests`, { maxRedirects: 0 });
    expect(again.status()).toBe(303);
  });
});

const cookiesOf = async (context: BrowserContext) =>
  (await context.cookies(world.url)).filter(({ name }) => name.startsWith('hallpass'));

/** Every element with a text of its own whose colours are too alike (WCAG 2.2, 1.4.3). */
const CONTRAST = `(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour[3] !== 0) return colour;
    }
    return [255, 255, 255];
  };
  const faults = [];
  for (const one of document.querySelectorAll('body *')) {
    if (![...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const [a, b] = [light(rgb(getComputedStyle(one).color)), light(behind(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faults.push(one.outerHTML.slice(0, 80) + ' ' + ratio);
  }
  return faults;
})()`;
