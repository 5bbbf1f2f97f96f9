import { Gauge, type Registry } from 'prom-client';
import type { Broker } from '../broker/broker.ts';
import { lateness } from '../store/leases.ts';

/** How often the log repeats that leases are late. */
const WATCH_EVERY_MS = 15_000;

/** Shows at each scrape how late the reaper is, target by target: what an alarm should stand on. */
export function watchLateness(broker: Broker, registry: Registry): void {
  const targets = [...broker.targets.keys()];
  const labelNames = ['target'] as const;
  const registers = [registry];
  const due = new Gauge({
    name: 'hallpass_leases_due',
    help: 'Leases that are due and that nobody works on (counted up to 10,000)',
    labelNames,
    registers,
  });
  const failing = new Gauge({
    name: 'hallpass_leases_failing',
    help: 'Leases whose ending failed at least once and goes on: credentials that may still work',
    labelNames,
    registers,
  });
  const lag = new Gauge({
    name: 'hallpass_reaper_lag_seconds',
    help: 'For how long the oldest due lease has waited',
    labelNames,
    registers,
    async collect() {
      for (const late of await lateness(broker.database, targets, broker.runtime.now())) {
        due.set({ target: late.target }, late.due);
        failing.set({ target: late.target }, late.failing);
        lag.set({ target: late.target }, late.lagMs / 1000);
      }
    },
  });
}

/** Says in the log, again and again, what should have ended and has not, until it has. */
export async function runWatch(broker: Broker, signal: AbortSignal): Promise<void> {
  const targets = [...broker.targets.keys()];
  while (!signal.aborted) {
    await broker.runtime.sleep(WATCH_EVERY_MS, signal).catch(() => {});
    if (signal.aborted) return;
    try {
      for (const late of await lateness(broker.database, targets, broker.runtime.now())) {
        const isLate = late.failing > 0 || late.lagMs > broker.limits.overdueAfterMs;
        if (isLate) broker.log.error(late, 'leases are overdue: their credentials may still work');
      }
    } catch (error) {
      broker.log.warn({ err: error }, 'cannot look for overdue leases');
    }
  }
}
