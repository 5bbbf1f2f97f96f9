import { standingBlocks } from '../store/kills.ts';
import type { Person } from '../store/rows.ts';
import type { Broker } from './broker.ts';

/**
 * Whom a block keeps out for who he is, he himself or somebody who acts for him. The commit refuses the leases of such
 * people; this is for what needs no lease: whoever holds a stolen token neither asks for approval nor gives any, and
 * what he approved before he was stopped counts no longer.
 */
export async function keptOut({ database }: Broker): Promise<(person: Person) => boolean> {
  const blocks = (await standingBlocks(database)).filter(
    ({ issuer, grant, target, task }) =>
      issuer !== null && grant === null && target === null && task === null,
  );
  return (person) =>
    [person, ...(person.actors ?? [])].some((face) =>
      blocks.some(
        ({ issuer, subject }) => issuer === face.issuer && (subject === null || subject === face.subject),
      ),
    );
}
