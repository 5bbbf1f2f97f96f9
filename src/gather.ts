/** How much is worked on at once. */
export interface GatherBounds {
  /** Groups under way, at the most. */
  readonly groups: number;
  /** Items in a group, at the most. */
  readonly items: number;
}

/**
 * Works together on what comes one by one: what comes while groups are under way forms the next, so nobody waits for
 * company, and the more comes, the larger the groups. `work` answers the items of a group; it never rejects. What
 * waits is bounded by whoever adds it.
 */
export function createGather<Item>(
  bounds: GatherBounds,
  work: (group: readonly Item[]) => Promise<void>,
): (item: Item) => void {
  const waiting: Item[] = [];
  let groups = 0;

  async function workOn(): Promise<void> {
    while (waiting.length > 0) await work(waiting.splice(0, bounds.items));
    groups--;
  }

  return (item) => {
    waiting.push(item);
    if (groups === bounds.groups) return;
    groups++;
    // The rest of this turn of the event loop joins the group.
    queueMicrotask(() => void workOn());
  };
}
