import type { AuditEvent } from '../audit/event.ts';
import type { LogEntry, Step } from './follower.ts';

/** What is sent for an event, and what the log says when it is given up. */
export type Sending = Omit<Step, 'entries'>;

/** The steps of a consumer that wants some events only: one for each, which takes those before it along. */
export function stepsFor(
  entries: readonly LogEntry[],
  choose: (event: AuditEvent, index: number) => Sending | null,
): Step[] {
  const steps: Step[] = [];
  let passed = 0;
  for (const { index, body } of entries) {
    passed++;
    const sending = choose(JSON.parse(body) as AuditEvent, index);
    if (sending === null) continue;
    steps.push({ ...sending, entries: passed });
    passed = 0;
  }
  if (passed > 0) steps.push({ entries: passed, send: async () => {} });
  return steps;
}
