import { expect, test } from 'vitest';
import { shown } from '../../../src/http/people/page.ts';

const text = (value: string) => String(shown(value));

test('shown: keeps what can be read, in every script', () => {
  for (const plain of ['Ada Lovelace', 'Привет', 'שלום', '日本語', 'naïve', '👍'])
    expect(text(plain)).toBe(`<bdi>${plain}</bdi>`);
});

test.each([
  ['an override', '\u202E', 'U+202E'],
  ['an isolate', '\u2066', 'U+2066'],
  ['a zero-width space', '\u200B', 'U+200B'],
  ['a zero-width joiner', '\u200D', 'U+200D'],
  ['a soft hyphen', '\u00AD', 'U+00AD'],
  ['a byte order mark', '\uFEFF', 'U+FEFF'],
  ['an escape', '\u001B', 'U+001B'],
  ['a line break', '\n', 'U+000A'],
  ['a line separator', '\u2028', 'U+2028'],
  ['a no-break space', '\u00A0', 'U+00A0'],
  ['a filler', '\u3164', 'U+3164'],
  ['an empty braille cell', '\u2800', 'U+2800'],
  ['a tag', '\u{E0041}', 'U+E0041'],
  ['a private character', '\uE000', 'U+E000'],
])('shown: %s is shown by its number', (_what, odd, number) => {
  expect(text(`a${odd}b`)).toBe(`<bdi>a<mark>${number}</mark>b</bdi>`);
});

test('shown: escapes', () => {
  expect(text(`<b a="1" c='2'>&`)).toBe('<bdi>&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;</bdi>');
});
