import { expect, test } from 'vitest';
import type { Fault } from '../../src/grants/fault.ts';
import {
  claimAt,
  matchesPrincipal,
  parseClaimPath,
  parsePrincipalMatcher,
} from '../../src/grants/principal.ts';
import type { Json } from '../../src/json.ts';
import { askOf, faultsOf, world } from './support.ts';

const matcher = (claims: Record<string, Json>, issuer = 'cluster') => {
  const faults: Fault[] = [];
  return { matcher: parsePrincipalMatcher({ issuer, claims }, world.issuers, [], faults), faults };
};
const wide = (claims: Record<string, Json>, issuer?: string) =>
  matcher(claims, issuer).faults.some(({ message }) => message.startsWith('Too wide'));

test.each([
  ['sub', ['sub']],
  ['kubernetes.io/serviceaccount/name', ['kubernetes.io', 'serviceaccount', 'name']],
  ['https://acme.example/role', ['https://acme.example/role']],
  ['https:~1~1sts.amazonaws.com~1/lambda', ['https://sts.amazonaws.com/', 'lambda']],
  ['a~01', ['a~1']],
  ['', null],
  ['a//b', null],
  ['/a', null],
  ['a~2', null],
  ['a/b/c/d/e/f/g/h/i', null],
])('parseClaimPath: %s', (name, path) => {
  expect(parseClaimPath(name)).toEqual(path);
});

test('claimAt: sees own members of objects only', () => {
  const claims = { a: { b: 1 }, list: ['x'], text: 'abc' };
  expect(claimAt(claims, ['a', 'b'])).toBe(1);
  expect(claimAt(claims, ['constructor'])).toBeUndefined();
  expect(claimAt(claims, ['a', '__proto__'])).toBeUndefined();
  expect(claimAt(claims, ['list', '0'])).toBeUndefined();
  expect(claimAt(claims, ['list', 'length'])).toBeUndefined();
  expect(claimAt(claims, ['text', 'length'])).toBeUndefined();
});

test('matchesPrincipal: another issuer with the same claims is a stranger', () => {
  const { principal } = askOf({ claims: { sub: 'x' } });
  const { matcher: rules } = matcher({ sub: 'x' });
  expect(matchesPrincipal(rules, { ...principal, issuer: 'cluster' })).toBe(true);
  expect(matchesPrincipal(rules, principal)).toBe(false);
});

test('matchesPrincipal: a recycled name with a new id is a stranger', () => {
  const { matcher: rules } = matcher({ repository: 'acme/api', repository_id: '42' });
  const principal = (id: Json) => ({
    ...askOf({ claims: { repository: 'acme/api', repository_id: id } }).principal,
    issuer: 'cluster',
  });
  expect(matchesPrincipal(rules, principal('42'))).toBe(true);
  expect(matchesPrincipal(rules, principal('43'))).toBe(false);
  expect(matchesPrincipal(rules, principal(42))).toBe(false);
});

test.each<Record<string, Json>>([
  {},
  { iss: 'https://x', aud: 'hallpass' },
  { sub: { glob: '*' } },
  { sub: { glob: '**' } },
  { sub: { glob: '?*' } },
  { sub: { glob: '*/*' } },
  { sub: { glob: 'r**' } },
  { sub: { glob: '*:acme/api' } },
  { sub: { glob: 'repo:*' } },
  { sub: { glob: 'repo:acme/*' } },
  { sub: { glob: 'repo:acme/**' } },
  { sub: { glob: 'repo:acme@123/**' } },
  { sub: { glob: 'repo:acme*/api:**' } },
  { sub: { glob: 'repo:acme/*:ref:refs/heads/main' } },
  { sub: ['repo:acme/api:ref:refs/heads/main', { glob: 'repo:acme/*' }] },
  { sub: { glob: 'project_path:group/**' } },
  { sub: { glob: 'system:serviceaccount:*:deployer' } },
  { sub: { glob: 'spiffe://acme.example/**' } },
  { repository: { glob: 'acme/*' } },
  { job_workflow_ref: { glob: 'acme/**' } },
  { repository_owner_id: '7' },
  { repository_owner: 'acme', event_name: 'push', ref: 'refs/heads/main' },
  { ref_protected: true },
  { admin: true },
  { groups: { contains: { glob: '*' } } },
])('parsePrincipalMatcher: too wide is %j', (claims) => {
  expect(wide(claims)).toBe(true);
});

test.each<Record<string, Json>>([
  { sub: 'repo:acme/api:ref:refs/heads/main' },
  { sub: { glob: 'repo:acme/api:**' } },
  { sub: { glob: 'repo:acme/app-*:ref:refs/heads/main' } },
  { sub: { glob: 'repo:acme/*:environment:prod' }, repository_id: ['1', '2'] },
  { repository_owner_id: '7', job_workflow_ref: 'acme/ci/.github/workflows/deploy.yml@refs/heads/main' },
  { sub: { glob: 'system:serviceaccount:prod:*' } },
  { sub: { glob: 'nightly-*' } },
  { sub: { glob: 'spiffe://acme.example/ns/prod/**' } },
  { groups: { contains: 'dba' } },
  { 'kubernetes.io/serviceaccount/uid': 'a-b-c' },
])('parsePrincipalMatcher: narrow enough is %j', (claims) => {
  expect(matcher(claims).faults).toEqual([]);
});

test('parsePrincipalMatcher: where customers share an issuer, a claim that tells them apart is needed', () => {
  expect(wide({ actor: 'mona' }, 'github')).toBe(true);
  expect(wide({ actor: 'mona', repository_id: '42' }, 'github')).toBe(false);
  expect(matcher({ actor: 'mona' }, 'github').faults[0]?.message).toContain(
    'pin one of "repository_id", "sub"',
  );
});

test('parsePrincipalMatcher: a claim named __proto__ is refused, not dropped', () => {
  const claims = JSON.parse('{"repository_id":"42","__proto__":"x"}') as Json;
  expect(faultsOf({ who: [{ issuer: 'github', claims }] }).join()).toContain('__proto__');
});
