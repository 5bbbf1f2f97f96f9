import { expect, it } from 'vitest';
import { printExplanation } from '../../src/cli/commands/explanation.ts';
import { fakeIo } from './support/io.ts';

const check = (subject: string, ok: boolean) => ({ subject, ok, expected: 'a', actual: 'b' });
const grant = (name: string, ...oks: boolean[]) => ({
  grant: name,
  allowed: oks.every(Boolean),
  checks: oks.map((ok, i) => check(`claims.c${i}`, ok)),
});
const identity = { issuer: 'ci', subject: 'repo:acme/etl' };
const token = { ok: true, reason: 'verified', detail: '' };

it('printExplanation: says who it is, and shows what matches before what came near', async () => {
  const { io, written } = fakeIo();
  await printExplanation(io, {
    identity,
    token,
    grants: [grant('far', false, false), grant('near', true, false), grant('match', true, true)],
  });
  expect(written.err).toContain('"repo:acme/etl" of issuer "ci"');
  expect(written.err).not.toContain('nearest');
  expect(written.out).toMatch(/match +ALLOWED[\s\S]*near +REFUSED[\s\S]*far +REFUSED/);
});

it('printExplanation: where nothing matches, names the nearest grant and what it lacks', async () => {
  const { io, written } = fakeIo();
  await printExplanation(io, {
    identity,
    token,
    grants: [grant('far', false, false), grant('near', true, false)],
  });
  expect(written.err).toContain('"near" is nearest, but for claims.c1');
});

it('printExplanation: a refused token has its reason and no identity', async () => {
  const { io, written } = fakeIo();
  const refused = { ok: false, reason: 'audience', detail: 'The token is for ["vault"]' };
  await printExplanation(io, { identity: null, token: refused, grants: [] });
  expect(written.err).toContain('refused: audience');
  expect(written.err).not.toContain('nearest');
});
