import type { Review } from '../../http/contract.ts';
import { type ConnectionOptions, connect } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { printJson, printTable, say, when } from '../output.ts';

/** Shows the reviews that nobody has closed. */
export async function list(io: Io, options: ConnectionOptions): Promise<number> {
  const reviews = await connect(io, options).reviews();
  if (options.json) {
    printJson(io, { reviews });
    return EXIT.done;
  }
  const rows = reviews.map((review) => [
    review.id,
    standing(review),
    who(review),
    review.grant,
    review.purpose,
    review.ticket,
    when(review.opened_at),
    when(review.due_at),
  ]);
  await printTable(io, ['review', 'state', 'who', 'grant', 'why', 'ticket', 'used', 'due'], rows);
  return EXIT.done;
}

/** Shows one with all that is known of it. */
export async function show(io: Io, options: ConnectionOptions, id: string): Promise<number> {
  const review = await connect(io, options).readReview(id);
  if (options.json) {
    printJson(io, review);
    return EXIT.done;
  }
  const rows = Object.entries({ ...review, state: standing(review), identity: who(review) }).map(
    ([name, value]) => [name.replaceAll('_', ' '), typeof value === 'string' ? value : JSON.stringify(value)],
  );
  await printTable(io, ['review', review.id], rows);
  say(io, `What was done: hallpass audit --task ${review.task}`);
  return EXIT.done;
}

/** Closes one with what was found. */
export async function close(
  io: Io,
  options: ConnectionOptions & { readonly finding: string },
  id: string,
): Promise<number> {
  const review = await connect(io, options).closeReview(id, options.finding);
  if (options.json) printJson(io, review);
  else say(io, 'Closed');
  return EXIT.done;
}

function standing({ state, overdue, practice }: Review): string {
  return `${practice ? 'practice, ' : ''}${overdue ? 'overdue' : state}`;
}

function who({ identity, people }: Review): string {
  return `${people.join(', ')} (${identity.subject} at ${identity.issuer})`;
}
