/** One life of one replica: from its start until it dies. */
export interface Owner {
  readonly name: string;
  alive: boolean;
}

/** A wait without end that nothing holds on to. */
export function never(): Promise<never> {
  return new Promise(() => {});
}

/** What the living hear of: to the dead no answer comes, good or bad. */
export async function heardBy<T>(owner: Owner, work: () => Promise<T>): Promise<T> {
  if (!owner.alive) return never();
  try {
    const answer = await work();
    return owner.alive ? answer : await never();
  } catch (error) {
    if (!owner.alive) return never();
    throw error;
  }
}
