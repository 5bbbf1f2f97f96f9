import fc from 'fast-check';
import { expect, test } from 'vitest';
import { defaultHttpLimits } from '../../../src/http/limits.ts';
import { parseTokenRequest, TOKEN_EXCHANGE } from '../../../src/http/oauth/exchange.ts';
import { parseForm } from '../../../src/http/oauth/form.ts';

const read = (text: string) => {
  const form = parseForm(text);
  return form.ok ? Object.fromEntries(form.value) : form.error.error;
};

test.each<[string, unknown]>([
  ['', {}],
  ['a=1&b=2', { a: ['1'], b: ['2'] }],
  ['a=x+y%20z%2B', { a: ['x y z+'] }],
  ['a==', { a: ['='] }],
  ['a=&b', {}],
  ['a=1&a=', { a: ['1'] }],
  ['resource=x&resource=y', { resource: ['x', 'y'] }],
  ['a=1&a=1', 'invalid_request'],
  ['a=1&%61=2', 'invalid_request'],
  ['subject_token=x&subject_token=y', 'invalid_request'],
  ['a=%', 'invalid_request'],
  ['a=%ff', 'invalid_request'],
  ['%c0%af=x', 'invalid_request'],
  [Array.from({ length: 51 }, (_, i) => `a${i}=1`).join('&'), 'invalid_request'],
])('parseForm: %s', (text, expected) => {
  expect(read(text)).toEqual(expected);
});

test('parseForm: reads back what any client wrote', () => {
  const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 });
  const value = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.dictionary(name, value, { maxKeys: 10 }), (parameters) => {
      const expected = Object.fromEntries(Object.entries(parameters).map(([key, text]) => [key, [text]]));
      expect(read(new URLSearchParams(parameters).toString())).toEqual(expected);
    }),
  );
});

test('parseForm and parseTokenRequest: answer whatever they are sent', () => {
  const noise = fc.string({ unit: 'binary', maxLength: 40 });
  const near = fc.record({
    grant_type: fc.constantFrom(TOKEN_EXCHANGE, 'x'),
    subject_token: noise,
    subject_token_type: fc.constantFrom('urn:ietf:params:oauth:token-type:jwt', ''),
    authorization_details: fc.oneof(noise, fc.json({ maxDepth: 3 })),
  });
  fc.assert(
    fc.property(
      fc.oneof(
        noise,
        near.map((parameters) => new URLSearchParams(parameters).toString()),
      ),
      (text) => {
        const form = parseForm(text);
        if (!form.ok) return;
        const request = parseTokenRequest(form.value, 'https://hallpass.example', defaultHttpLimits);
        expect(request.ok).toBe(false);
        if (!request.ok) expect(request.error.description.length).toBeLessThan(600);
      },
    ),
  );
});

test('parseTokenRequest: takes the broker itself as resource and audience, with or without a slash', () => {
  const url = 'https://hallpass.example';
  const parameters = new URLSearchParams({
    grant_type: TOKEN_EXCHANGE,
    subject_token: 'x',
    subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
    resource: `${url}/`,
    audience: url,
    authorization_details: JSON.stringify([{ type: 'hallpass_task', grant: 'g', task: 't' }]),
  });
  const form = parseForm(parameters.toString());
  expect(form.ok && parseTokenRequest(form.value, url, defaultHttpLimits)).toEqual({
    ok: true,
    value: { subjectToken: 'x', actorToken: null, details: { type: 'hallpass_task', grant: 'g', task: 't' } },
  });
});
