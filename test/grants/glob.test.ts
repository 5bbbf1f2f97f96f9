import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseGlob } from '../../src/grants/glob.ts';
import { processorMs } from '../support/work.ts';

const matches = (pattern: string, value: string): boolean => {
  const glob = parseGlob(pattern);
  if (typeof glob === 'string') throw new Error(glob);
  return glob.matches(value);
};

/** The meaning of a glob, word for word, and slow. */
function reference(pattern: readonly string[], value: readonly string[]): boolean {
  const [token, ...tokens] = pattern;
  if (token === undefined) return value.length === 0;
  const [character, ...rest] = value;
  if (token === '*' || token === '**') {
    if (reference(tokens, value)) return true;
    const crosses = token === '**' || (character !== '/' && character !== ':');
    return character !== undefined && crosses && reference(pattern, rest);
  }
  if (character === undefined) return false;
  if (token === '?') return character !== '/' && character !== ':' && reference(tokens, rest);
  return token === character && reference(tokens, rest);
}

const token = fc.constantFrom('*', '**', '?', 'a', 'b', '/', ':', '💧', '.', '\\');
const character = fc.constantFrom('a', 'b', '/', ':', '*', '?', '💧', '.', '\\');

test('parseGlob: matches as the plain slow reference does', () => {
  fc.assert(
    fc.property(
      fc.array(token, { minLength: 1, maxLength: 7 }),
      fc.array(character, { maxLength: 9 }),
      (p, v) => {
        fc.pre(!p.join('').includes('***'));
        // Two stars side by side are one token in the text.
        const tokens = p.join('').match(/\*\*|./gu) ?? [];
        expect(matches(p.join(''), v.join(''))).toBe(reference(tokens, v));
      },
    ),
    { numRuns: 5000 },
  );
});

test.each([
  ['repo:acme/*', 'repo:acme/api', true],
  ['repo:acme/*', 'repo:acme/api:ref:refs/heads/main', false],
  ['repo:acme/api:*', 'repo:acme/api:pull_request', true],
  ['repo:acme/api:*', 'repo:acme/api:ref:refs/heads/main', false],
  ['repo:acme/api:**', 'repo:acme/api:ref:refs/heads/main', true],
  ['repo:acme/api:environment:*', 'repo:acme/api:environment:prod%3Aeu', true],
  ['repo:acme/api:environment:prod', 'repo:acme/api:environment%3Aprod', false],
  ['repo:acme/*:ref:refs/heads/main', 'repo:acme/x:environment:y:ref:refs/heads/main', false],
  ['a', 'xab', false],
  ['a', 'a\n', false],
  ['a*', 'A', false],
  ['a.c', 'abc', false],
  ['(a|b)', 'a', false],
  ['[ab]', 'a', false],
  ['{a,b}', 'a', false],
  ['**', '', true],
  ['?', '💧', true],
  ['e\u0301', '\u00e9', false],
])('parseGlob: %s on %j is %s', (pattern, value, expected) => {
  expect(matches(pattern, value)).toBe(expected);
});

test('parseGlob: hostile lengths take linear time', () => {
  const took = processorMs(() => {
    expect(matches(`${'**a'.repeat(60)}b`, 'a'.repeat(10_000))).toBe(false);
    expect(matches(`${'*a'.repeat(80)}b`, 'a'.repeat(10_000))).toBe(false);
  });
  expect(took).toBeLessThan(1000);
  expect(matches('**', 'a'.repeat(16_385))).toBe(false);
});

test.each([[''], ['a***b'], ['a'.repeat(257)]])('parseGlob: refuses %j', (text) => {
  expect(parseGlob(text)).toMatch(/Cannot use/);
});
