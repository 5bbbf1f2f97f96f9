import type { Human } from '../grants/grant.ts';
import { matchesPrincipal } from '../grants/principal.ts';
import type { Principal } from '../identity/attestor.ts';
import type { Person } from '../store/rows.ts';

/** Who is who: one human may have several identities, and act through others. */

/** The humans that an identity is or acts for. */
export function humansBehind(people: readonly Human[], person: Person): readonly string[] {
  return people
    .filter(({ who }) =>
      faces(person).some((face) => who.some((matcher) => matchesPrincipal(matcher, asPrincipal(face)))),
    )
    .map(({ name }) => name);
}

export function isIdentity(a: Person, b: Person): boolean {
  return a.issuer === b.issuer && a.subject === b.subject;
}

/** Whether two identities are or act for the same human. */
export function isSame(people: readonly Human[], a: Person, b: Person): boolean {
  const behind = humansBehind(people, b);
  return (
    faces(a).some((one) => faces(b).some((other) => isIdentity(one, other))) ||
    humansBehind(people, a).some((name) => behind.includes(name))
  );
}

/** An identity and whoever acts for it. */
function faces(person: Person): readonly Person[] {
  return [person, ...(person.actors ?? [])];
}

/** Matching looks at issuer and claims alone. */
export function asPrincipal({ issuer, subject, claims }: Person): Principal {
  return { issuer, subject, claims, proof: { method: 'stored', evidenceHash: '', expiresAt: 0 } };
}
