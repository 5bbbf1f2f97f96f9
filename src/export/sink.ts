/** Somewhere that the log is sent to. */
export interface Sink {
  /**
   * Hands over entries, in order. Resolves when the other side has them for good, as far as its protocol can say; rejects
   * otherwise, and is then called again with the same entries, or more: they may arrive twice, and never out of order
   * or not at all. Called by one process at a time.
   */
  deliver(entries: readonly ExportedEntry[], signal: AbortSignal): Promise<void>;
}

/** An entry of the log with its OCSF event. */
export interface ExportedEntry {
  readonly index: number;
  /** The event, byte for byte as it is hashed. */
  readonly body: string;
  readonly ocsf: OcsfEvent;
}

/** An OCSF event (https://schema.ocsf.io), as far as every class has it. */
export interface OcsfEvent {
  readonly class_uid: number;
  readonly activity_id: number;
  readonly severity_id: number;
  readonly time: number;
  readonly message: string;
  readonly [member: string]: unknown;
}

/** The wire did what it should not: what for the log of the operator, without anything secret. */
export class SinkError extends Error {
  /** How long the other side asks us to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, retryAfterMs?: number) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The other side understood it and will not take it, however often it comes. */
export class Refused extends SinkError {}
