import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  createCookies,
  formToken,
  isFormToken,
  isFromOurPage,
  openFlow,
  type PendingFlow,
  safeReturn,
  sealFlow,
} from '../../../src/http/people/cookies.ts';
import { createTestRuntime } from '../../support/runtime.ts';

const runtime = createTestRuntime();
const now = runtime.now();
const KEY = runtime.randomBytes(32);
const FLOW: PendingFlow = {
  state: 'a-state',
  nonce: 'a-nonce',
  verifier: 'a-verifier',
  returnTo: '/requests',
  until: now + 1000,
};

describe('createCookies', () => {
  it('over https: __Host-, Secure, HttpOnly, for the whole host and no other', () => {
    const cookies = createCookies('https://hallpass.example/at/a/path');
    expect(cookies.write('session', 'x', 61_999)).toBe(
      '__Host-hallpass-session=x; Path=/; Max-Age=61; HttpOnly; SameSite=Lax; Secure',
    );
    expect(cookies.write('flow')).toMatch(/^__Host-hallpass-sign-in=; Path=\/; Max-Age=0; /);
    expect(cookies.read('a=1; __Host-hallpass-session=x; b=2', 'session')).toBe('x');
    // A neighbour can plant this one: it does not count.
    expect(cookies.read('hallpass-session=x', 'session')).toBeNull();
  });

  it('takes none of two', () => {
    const cookies = createCookies('http://127.0.0.1:1');
    expect(cookies.read('hallpass-session=x; hallpass-session=x', 'session')).toBeNull();
    expect(cookies.read(undefined, 'session')).toBeNull();
  });
});

describe('openFlow', () => {
  it('opens what was sealed, until its time is up', () => {
    const sealed = sealFlow(runtime, KEY, FLOW);
    expect(openFlow(KEY, sealed, now)).toEqual(FLOW);
    expect(openFlow(KEY, sealed, FLOW.until)).toBeNull();
    expect(sealed).not.toContain(Buffer.from('verifier').toString('base64url').slice(0, 8));
  });

  it('opens nothing that was changed, cut, or sealed by another', () => {
    const sealed = Buffer.from(sealFlow(runtime, KEY, FLOW), 'base64url');
    fc.assert(
      fc.property(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
        const changed = Buffer.from(sealed);
        changed[at] = (changed[at] ?? 0) ^ bits;
        expect(openFlow(KEY, changed.toString('base64url'), now)).toBeNull();
        expect(openFlow(KEY, sealed.subarray(0, at).toString('base64url'), now)).toBeNull();
      }),
    );
    expect(openFlow(runtime.randomBytes(32), sealed.toString('base64url'), now)).toBeNull();
  });
});

test('isFormToken: is of one session, and gives its token away to nobody', () => {
  const [mine, other] = ['hps_mine', 'hps_other'];
  expect(isFormToken(mine, formToken(mine))).toBe(true);
  for (const given of [formToken(other), '', undefined, mine]) expect(isFormToken(mine, given)).toBe(false);
  expect(formToken(mine)).not.toContain(mine);
});

test('isFromOurPage: takes the origin of the broker alone', () => {
  const url = 'https://hallpass.example/base';
  const ours = 'https://hallpass.example';
  expect(isFromOurPage({ origin: ours, site: 'same-origin' }, url)).toBe(true);
  expect(isFromOurPage({ origin: ours, site: undefined }, url)).toBe(true);
  for (const origin of [undefined, 'null', '', `${ours}.evil`, 'http://hallpass.example', `${ours}:8443`])
    expect(isFromOurPage({ origin, site: 'same-origin' }, url)).toBe(false);
  for (const site of ['cross-site', 'same-site', 'none'])
    expect(isFromOurPage({ origin: ours, site }, url)).toBe(false);
});

test('safeReturn: leads to a request or to the list, whatever is asked', () => {
  const request = '/requests/01arz3ndektsv4rrffq69g5fav';
  expect(safeReturn(request)).toBe(request);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.webUrl(),
        fc.string().map((text) => request + text),
      ),
      (text) => {
        expect([request, '/requests']).toContain(safeReturn(text));
      },
    ),
  );
});
