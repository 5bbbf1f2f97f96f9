import type { Principal } from '../identity/attestor.ts';
import type { PrincipalMatcher } from './grant.ts';
import { matchesPrincipal } from './principal.ts';

/** What a principal may do besides using grants: end and explain, read, or cut task grants. */
export const ROLES = ['operator', 'auditor', 'orchestrator'] as const;
export type AccessRole = (typeof ROLES)[number];

/** Whom the configuration gives a role. */
export interface AccessRule {
  readonly role: AccessRole;
  readonly who: PrincipalMatcher;
}

export function rolesOf(access: readonly AccessRule[], principal: Principal): ReadonlySet<AccessRole> {
  return new Set(access.filter(({ who }) => matchesPrincipal(who, principal)).map(({ role }) => role));
}
