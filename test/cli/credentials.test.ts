import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deliverPostgres } from '../../src/cli/credentials/postgres.ts';
import { collectValue, parseSeconds } from '../../src/cli/values.ts';

const place = (ending: string) => `/run/0.${ending}`;

/** Splits a line of a password file as libpq does: a backslash makes the next character plain. */
function fields(line: string): string[] {
  const found: string[] = [];
  let field = '';
  for (let at = 0; at < line.length; at++) {
    if (line[at] === ':') {
      found.push(field);
      field = '';
    } else {
      field += line[at] === '\\' ? line[++at] : line[at];
    }
  }
  return [...found, field];
}

describe('deliverPostgres', () => {
  it('writes a password file that libpq reads back, whatever the values hold', () => {
    const text = fc.string({ minLength: 1 }).filter((value) => !/[\n\0]/.test(value));
    fc.assert(
      fc.property(text, text, text, text, (host, database, username, password) => {
        const values = { host, port: '5433', database, username, password };
        const { files, env } = deliverPostgres({ type: 'postgres', values }, place);
        const content = files[env.PGPASSFILE ?? ''] ?? '';
        expect(fields(content.slice(0, -1))).toEqual([host, '5433', database, username, password]);
        expect(env).not.toHaveProperty('PGPASSWORD');
      }),
      { examples: [['::1', 'a:b', 'c\\d', '\\:']] },
    );
  });

  it('brings the certificate of the target along, or trusts the system', () => {
    const values = { host: 'db', username: 'u', password: 'p', sslmode: 'verify-full' };
    const own = deliverPostgres({ type: 'postgres', values: { ...values, ca: 'PEM' } }, place);
    expect(own.env).toMatchObject({ PGSSLMODE: 'verify-full', PGSSLROOTCERT: '/run/0.ca.pem' });
    expect(own.files['/run/0.ca.pem']).toBe('PEM');
    expect(deliverPostgres({ type: 'postgres', values }, place).env.PGSSLROOTCERT).toBe('system');
    const plain = deliverPostgres({ type: 'postgres', values: { ...values, sslmode: 'disable' } }, place);
    expect(plain.env).not.toHaveProperty('PGSSLROOTCERT');
  });
});

describe('values', () => {
  it.each([
    ['90', 90],
    ['90s', 90],
    ['15m', 900],
    ['8h', 28_800],
    ['1d', 86_400],
    ['1h30m', 5_400],
  ])('parseSeconds: %s is %i seconds', (text, seconds) => {
    expect(parseSeconds(text)).toBe(seconds);
  });

  it.each(['', '0', '0s', '-1', '1.5h', '1 h', '1w', '30m1h', '9999999999'])(
    'parseSeconds: refuses "%s"',
    (text) => {
      expect(() => parseSeconds(text)).toThrow();
    },
  );

  it('collectValue: a value is text unless it is written as JSON', () => {
    const values = ['a=1', 'b:=1', 'c=x=y', 'd:={"e":[true]}', 'f='];
    expect(values.reduce((gathered, text) => collectValue(text, gathered), {})).toEqual({
      a: '1',
      b: 1,
      c: 'x=y',
      d: { e: [true] },
      f: '',
    });
  });
});
