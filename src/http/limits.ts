/** How often one key may call: `perSecond` on average, `burst` at once. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** What bounds a request at the HTTP border. Sizes are bytes, durations milliseconds. */
export interface HttpLimits {
  readonly maxBodyBytes: number;
  readonly maxJsonDepth: number;
  /** Members of objects and elements of arrays, counted over the whole body. */
  readonly maxJsonMembers: number;
  /** Requests under `/v1` being served at once; more are shed. */
  readonly maxInFlight: number;
  /** Of those, requests that mint. Lower than `maxInFlight`, so that a storm of opens never keeps a task from ending. */
  readonly maxInFlightMints: number;
  /** For each client address, before anything is verified; null: no bound. Behind a proxy all callers share its address. */
  readonly perAddress: Rate | null;
  /** For each proven caller; null: no bound. */
  readonly perCaller: Rate | null;
  /** Keys that each of the two bounds remembers; the least recently used is forgotten. */
  readonly maxRateKeys: number;
}

/** What bounds a connection. Durations are milliseconds. */
export interface ServerLimits {
  readonly maxHeaderBytes: number;
  readonly maxConnections: number;
  readonly headersTimeoutMs: number;
  /** For a request to arrive whole. */
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** For a connection on which nothing moves, while a request is served too: longer than any verb waits. */
  readonly idleTimeoutMs: number;
}

export const defaultHttpLimits: HttpLimits = {
  // The largest request that makes sense, 100 parameters and a token to explain, is a third of this.
  maxBodyBytes: 65_536,
  maxJsonDepth: 16,
  maxJsonMembers: 2_000,
  maxInFlight: 1_000,
  maxInFlightMints: 750,
  perAddress: { perSecond: 1_000, burst: 2_000 },
  perCaller: { perSecond: 200, burst: 1_000 },
  maxRateKeys: 10_000,
};

export const defaultServerLimits: ServerLimits = {
  // A token of 16 KiB, the largest that an attestor reads, and room for what proxies add.
  maxHeaderBytes: 24_576,
  maxConnections: 10_000,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 20_000,
  keepAliveTimeoutMs: 65_000,
  idleTimeoutMs: 120_000,
};
