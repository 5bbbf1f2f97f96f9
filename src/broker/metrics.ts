import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Observer } from './broker.ts';

/** Counts what the broker does, in a Prometheus registry. Labels are names of the configuration and codes: bounded. */
export function prometheusObserver(registry: Registry): Observer {
  const registers = [registry];
  const issued = new Histogram({
    name: 'hallpass_mint_seconds',
    help: 'From the intent to the answer of the target, for credentials that were minted',
    labelNames: ['target'] as const,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15],
    registers,
  });
  const mintFailures = new Counter({
    name: 'hallpass_mint_failures_total',
    help: 'Mints that failed, by code',
    labelNames: ['target', 'code'] as const,
    registers,
  });
  const ended = new Counter({
    name: 'hallpass_leases_ended_total',
    help: 'Leases that ended, by outcome',
    labelNames: ['target', 'outcome'] as const,
    registers,
  });
  const endLag = new Histogram({
    name: 'hallpass_end_lag_seconds',
    help: 'From the beginning of an ending to its outcome',
    labelNames: ['target'] as const,
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 3600],
    registers,
  });
  const endFailures = new Counter({
    name: 'hallpass_end_failures_total',
    help: 'Attempts to end a lease that failed, by code; each is followed by another',
    labelNames: ['target', 'code'] as const,
    registers,
  });
  const refusals = new Counter({
    name: 'hallpass_refusals_total',
    help: 'Requests that were refused, by reason',
    labelNames: ['reason'] as const,
    registers,
  });
  return {
    issued: (target, mintMs) => issued.observe({ target }, mintMs / 1000),
    mintFailed: (target, code) => mintFailures.inc({ target, code }),
    ended(target, outcome, lagMs) {
      ended.inc({ target, outcome });
      endLag.observe({ target }, lagMs / 1000);
    },
    endFailed: (target, code) => endFailures.inc({ target, code }),
    refused: (reason) => refusals.inc({ reason }),
  };
}

/** Shows at each scrape whether the log is refused to be grown: what an alarm should stand on. */
export function watchLog(sequencer: { readonly fault: string | null }, registry: Registry): void {
  new Gauge({
    name: 'hallpass_log_refused',
    help: 'Whether the audit log is not signed on, because it went back or is another than it was',
    registers: [registry],
    collect() {
      this.set(sequencer.fault === null ? 0 : 1);
    },
  });
}
