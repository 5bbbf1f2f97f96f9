import { expect, test } from 'vitest';
import { type AccessRule, rolesOf } from '../../src/grants/access.ts';
import { parsePrincipalMatcher } from '../../src/grants/principal.ts';
import { askOf, world } from './support.ts';

const rule = (role: AccessRule['role'], group: string): AccessRule => ({
  role,
  who: parsePrincipalMatcher(
    { issuer: 'cluster', claims: { groups: { contains: group } } },
    world.issuers,
    [],
    [],
  ),
});

test('rolesOf: every role whose rule fits, at the right issuer only', () => {
  const access = [rule('operator', 'ops'), rule('auditor', 'audit'), rule('auditor', 'ops')];
  const { principal } = askOf({ claims: { groups: ['ops'] } });
  expect(rolesOf(access, { ...principal, issuer: 'cluster' })).toEqual(new Set(['operator', 'auditor']));
  expect(rolesOf(access, principal)).toEqual(new Set());
  expect(rolesOf(access, { ...principal, issuer: 'cluster', claims: { groups: 'ops' } })).toEqual(new Set());
});
