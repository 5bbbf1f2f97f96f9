import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseStrictJson } from '../../src/http/strict-json.ts';

const wide = { maxJsonDepth: 1000, maxJsonMembers: 1_000_000 };

describe('parseStrictJson', () => {
  it('reads whatever JSON.stringify writes, to the same value', () => {
    const json = fc
      .jsonValue({ noUnicodeString: false })
      .filter((value) => !JSON.stringify(value).includes('__proto__'));
    fc.assert(
      fc.property(json, fc.constantFrom(0, 2), (value, space) => {
        const text = JSON.stringify(value, null, space);
        expect(parseStrictJson(text, wide)).toEqual({ ok: true, value: JSON.parse(text) });
      }),
    );
  });

  it('never reads what JSON.parse does not', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[[\]{},:"\\ 0a]*$/)), (text) => {
        const strict = parseStrictJson(text, wide);
        if (strict.ok) expect(strict.value).toEqual(JSON.parse(text));
      }),
    );
  });

  it('refuses a name twice wherever it stands, however it is escaped', () => {
    const escapeAll = (name: string) =>
      [...Array(name.length).keys()]
        .map((at) => `\\u${name.charCodeAt(at).toString(16).padStart(4, '0')}`)
        .join('');
    fc.assert(
      fc.property(fc.string({ maxLength: 8 }), fc.nat({ max: 5 }), (name, depth) => {
        const twice = `{${JSON.stringify(name)}:1,"${name}-":[{}],"${escapeAll(name)}":{}}`;
        const text = `${'['.repeat(depth)}${twice}${']'.repeat(depth)}`;
        expect(parseStrictJson(text, wide).ok).toBe(false);
      }),
    );
  });

  it('allows a name again in another object', () => {
    expect(parseStrictJson('[{"a":{"a":1}},{"a":"a"}]', wide).ok).toBe(true);
  });

  it('refuses __proto__, escaped too, but reads it as a value', () => {
    expect(parseStrictJson('{"__proto__":1}', wide).ok).toBe(false);
    expect(parseStrictJson('{"\\u005f_proto__":1}', wide).ok).toBe(false);
    expect(parseStrictJson('{"a":"__proto__"}', wide).ok).toBe(true);
  });

  it('counts depth and members exactly', () => {
    const bounds = { maxJsonDepth: 2, maxJsonMembers: 4 };
    expect(parseStrictJson('[[1,2]]', bounds).ok).toBe(true);
    expect(parseStrictJson('[[[]]]', bounds).ok).toBe(false);
    expect(parseStrictJson('[1,2,3,4]', bounds).ok).toBe(true);
    expect(parseStrictJson('[1,2,3,4,5]', bounds).ok).toBe(false);
    expect(parseStrictJson('"[[[[[,,,,,,,"', bounds).ok).toBe(true);
  });
});
