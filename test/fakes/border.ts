import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createApp } from '../../src/http/app.ts';
import { defaultHttpLimits, type HttpLimits } from '../../src/http/limits.ts';
import { prometheusMetrics } from '../../src/http/metrics.ts';
import type { PublishedIssuer } from '../../src/http/routes/issuer.ts';
import type { SlackDesk } from '../../src/notify/slack/desk.ts';
import type { SignalDesk } from '../../src/signals/receive.ts';
import { type FakeClock, fakeClock } from './clock.ts';
import { type FakeOptions, FakeVerbs } from './verbs.ts';

/** The real app over the broker in memory, with everything that it logs. */
export function fakeBorder(
  options: Partial<FakeOptions> & {
    limits?: Partial<HttpLimits>;
    clock?: FakeClock;
    issuer?: PublishedIssuer;
    slack?: SlackDesk;
    signals?: SignalDesk;
    statementMs?: () => number;
    clockFault?: () => Promise<string | null>;
    readiness?: { ready: boolean; reasons: string[] };
  } = {},
) {
  const clock = options.clock ?? fakeClock();
  const verbs = new FakeVerbs({ runtime: clock, ...options });
  const lines: string[] = [];
  const app = createApp({
    verbs,
    runtime: clock,
    limits: { ...defaultHttpLimits, ...options.limits },
    url: 'https://hallpass.example',
    log: pino({ level: 'debug' }, { write: (line: string) => lines.push(line) }),
    metrics: prometheusMetrics(new Registry()),
    ready: async () => options.readiness ?? { ready: true, reasons: [] },
    version: '1.2.3',
    ...(options.statementMs ? { statementMs: options.statementMs } : {}),
    ...(options.clockFault ? { clockFault: options.clockFault } : {}),
    ...(options.issuer ? { issuer: options.issuer } : {}),
    slack: options.slack ?? { handle: async () => 'unknown' },
    signals: options.signals ?? { receive: async () => null },
  });
  return { app, verbs, clock, lines };
}

export function post(body: unknown, token: string, headers: Record<string, string> = {}): RequestInit {
  return {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  };
}

export function get(token: string): RequestInit {
  return { headers: { authorization: `Bearer ${token}` } };
}
