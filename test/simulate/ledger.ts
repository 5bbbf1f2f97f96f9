import type { AuditEvent } from '../../src/audit/event.ts';
import type { CommitPart } from '../../src/store/commit.sql.ts';
import type { Database, Statement } from '../../src/store/database.ts';
import { committedRows, isCommit } from '../support/commit-statement.ts';
import type { Land } from './land.ts';

/** How far two clocks may be apart before a replica is not ready: within it an instant is the same instant. */
export const TOLERANCE_MS = 5_000;

/** Leases of the limited grant that may live at a time. */
export const LIVE_LIMIT = 3;

/**
 * Looks over the store's shoulder: at each statement as it takes effect, and at each call as it reaches a target, it
 * compares what is said with what is so, at that very moment. Faults name the invariant.
 */
export interface Ledger {
  readonly faults: string[];
  /** Leases whose issue is committed. */
  readonly issued: ReadonlySet<string>;
  /** After a statement took effect, before anybody hears of it. */
  watch(statement: Statement, parameters: readonly unknown[], rows: readonly unknown[]): Promise<void>;
}

interface LeasePart {
  readonly unit: number;
  readonly id: string;
  readonly dueAt: string | null;
}

export function createLedger(
  database: Database,
  lands: ReadonlyMap<string, Land>,
  now: () => number,
): Ledger {
  const faults: string[] = [];
  const issued = new Set<string>();
  /** From when on each lease may be claimed, by what was committed last. */
  const dueAt = new Map<string, number>();

  async function committed(
    name: string,
    parameters: readonly unknown[],
    rows: readonly unknown[],
  ): Promise<void> {
    const refused = new Set((rows as { unit: number }[]).map((row) => row.unit));
    const done = <Row extends { unit: number }>(part: CommitPart) =>
      committedRows<Row>(name, parameters, part).filter(({ unit }) => !refused.has(unit));
    const begun = done<LeasePart>('newLeases');
    for (const lease of [...begun, ...done<LeasePart>('changedLeases')]) {
      if (lease.dueAt === null) dueAt.delete(lease.id);
      else dueAt.set(lease.id, Date.parse(lease.dueAt));
    }
    for (const { body } of done<{ unit: number; body: string }>('events'))
      judge(JSON.parse(body) as AuditEvent);
    if (begun.length > 0) await countLive();
  }

  /** Invariant 3, at the moment of the word. */
  function judge(event: AuditEvent): void {
    const id = event.about.lease ?? '';
    const land = lands.get(event.about.target ?? '');
    if (land === undefined) return;
    if (event.kind === 'lease.issued') {
      issued.add(id);
      if (!land.wasMinted(id)) faults.push(`3: ${id} is said to be issued, but it was not made`);
    }
    if (event.kind !== 'lease.ended') return;
    const lie = land.contradicts(id, event.data.outcome, now(), TOLERANCE_MS);
    if (lie !== null) faults.push(`3: ${id} is said to be ${event.data.outcome}, but ${lie}`);
  }

  /** A claim is somebody's until it times out or he lets go. */
  function claimed(parameters: readonly unknown[], rows: readonly unknown[]): void {
    const at = Date.parse(String(parameters[0]));
    for (const { id } of rows as { id: string }[]) {
      const due = dueAt.get(id) ?? Number.NEGATIVE_INFINITY;
      if (at < due) faults.push(`8: ${id} was claimed ${due - at} ms before its claim or its wait was over`);
      dueAt.set(id, Date.parse(String(parameters[3])));
    }
  }

  async function countLive(): Promise<void> {
    const [row] = await database.query<{ live: number }>(
      {
        name: 'simulated_live',
        text: "select count(*)::int as live from lease where state <> 'ended' and grant_name = 'report'",
      },
      [],
    );
    if ((row?.live ?? 0) > LIVE_LIMIT)
      faults.push(`10: ${row?.live} leases live, the limit is ${LIVE_LIMIT}`);
  }

  return {
    faults,
    issued,
    async watch({ name }, parameters, rows) {
      if (isCommit(name)) await committed(name, parameters, rows);
      if (name === 'claim_due') claimed(parameters, rows);
    },
  };
}
