import type { Replica } from './replica.ts';

/** What stands before the replicas: sends each request to one that said lately that it is ready, as a load balancer does. */
export interface Balancer {
  /** For clients that know the brokers' common address. */
  readonly fetch: typeof globalThis.fetch;
  /** Those that take requests now. */
  readonly ready: () => readonly Replica[];
  stop(): Promise<void>;
}

/** How often each replica is asked, as a probe would. */
const PROBE_MS = 250;

export function createBalancer(url: string, replicas: readonly Replica[]): Balancer {
  const down = new Set<Replica>();
  let turn = 0;
  let stopped = false;
  const ready = () => replicas.filter((replica) => !down.has(replica));

  async function probe(replica: Replica): Promise<void> {
    while (!stopped) {
      if (await replica.isReady()) down.delete(replica);
      else down.add(replica);
      await new Promise((resolve) => setTimeout(resolve, PROBE_MS));
    }
  }
  const probes = replicas.map(probe);
  return {
    ready,
    async fetch(input, init) {
      const up = ready();
      // With none ready, any may answer what it likes.
      const replica = (up.length > 0 ? up : replicas)[turn++ % (up.length || replicas.length)];
      const path = new URL(input instanceof Request ? input.url : input).href.slice(url.length);
      return fetch(`${replica?.url}${path}`, init);
    },
    async stop() {
      stopped = true;
      await Promise.all(probes);
    },
  };
}
