import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { fillTemplate, filterOf } from '../../src/cli/exec/template.ts';
import { UsageError } from '../../src/cli/failure.ts';

const fill = (text: string, value: string, filter: string | null = null) =>
  fillTemplate(text, { db: { password: value } }, filter);

describe('fillTemplate', () => {
  const text = fc.string({ unit: 'binary', maxLength: 60 });

  it('json: whatever the value holds, a reader of JSON gets it back', () => {
    fc.assert(
      fc.property(text, (value) => {
        expect(JSON.parse(fill('{"a": {{ db.password }} }', value, 'json'))).toEqual({ a: value });
      }),
    );
  });

  it('yaml: whatever the value holds, a reader of YAML gets it back', () => {
    fc.assert(
      fc.property(text, (value) => {
        expect(parse(fill('a: {{ db.password }}\nb: 1\n', value, 'yaml'))).toEqual({ a: value, b: 1 });
      }),
      { examples: [['x: y # z\n- "\'\u2028\u0085\ufeff']] },
    );
  });

  it('shell: whatever the value holds, a shell gets it back', () => {
    const values = fc.sample(
      text.filter((value) => !value.includes('\0') && !/\p{Cs}/u.test(value)),
      40,
    );
    const lines = [...values, "'; exit 7; '", '$(exit 7)`exit 7`'].map((value) =>
      fill("printf '%s\\0' {{ db.password }}", value, 'shell'),
    );
    const printed = execFileSync('/bin/sh', ['-c', lines.join('\n')], { encoding: 'utf8' });
    expect(printed.split('\0').slice(0, -1)).toEqual([...values, "'; exit 7; '", '$(exit 7)`exit 7`']);
  });

  it('url: whatever the value holds, a reader of URLs gets it back, between any quotes', () => {
    const wellFormed = text.filter((value) => !/\p{Cs}/u.test(value));
    fc.assert(
      fc.property(wellFormed, (value) => {
        const url = fill('postgres://u:{{ db.password | url }}@host/db', value);
        expect(decodeURIComponent(new URL(url).password)).toBe(value);
        expect(url).not.toMatch(/['"\s]/);
      }),
    );
  });

  it.each(['a;b', 'a#b', '"a"', 'a\\b', ' a', 'a ', 'a\nb', '', '$x', '[a', 'a=b'])(
    'ini: refuses %j, and does not show it',
    (value) => {
      expect(() => fill('password = {{ db.password }}', value, 'ini')).toThrow(/do not agree/);
    },
  );

  it.each([
    ['{{ db.pasword }}', 'json', /write one of db\.password/],
    ['{{ DB.password }}', 'json', /write one of/],
    ['{{ db }}', 'json', /write \{\{ credential\.member \}\}/],
    ['{{ db.password | }}', 'json', /write \{\{/],
    ['{{ constructor.name }}', 'json', /write one of/],
    ['{{ db.toString }}', 'json', /write one of/],
    ['{{ db.password | constructor }}', 'json', /name a filter/],
    ['{{ db.password }}', null, /name a filter/],
  ] as const)('refuses %s, and never shows a value', (template, filter, message) => {
    const value = crypto.randomUUID();
    expect(() => fill(template, value, filter)).toThrow(UsageError);
    expect(() => fill(template, value, filter)).toThrow(message);
    expect(() => fill(template, value, filter)).not.toThrow(value);
  });

  it('fills in no placeholder that a value holds', () => {
    const values = { a: { x: '{{ b.x }}', y: '$&$1' }, b: { x: 'never' } };
    expect(fillTemplate('{{ a.x | raw }} {{a.y|raw}}', values, null)).toBe('{{ b.x }} $&$1');
  });
});

it.each([
  ['app.json', 'json'],
  ['app.yaml.tmpl', 'yaml'],
  ['/etc/x.yml', 'yaml'],
  ['.env', 'shell'],
  ['app.constructor', null],
  ['Makefile', null],
])('filterOf: %s is %s', (path, filter) => {
  expect(filterOf(path)).toBe(filter);
});
