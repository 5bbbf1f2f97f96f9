import type { AuditEvent, EventKind, Outcome } from './event.ts';

/** The lives of tasks and leases as their events tell them, held against the states that are allowed. */
export interface Lives {
  /** What is wrong with an event, coming after those before it; null when nothing is. */
  next(event: AuditEvent): string | null;
}

type LeaseState = 'minting' | 'active' | 'ending';

/** The states in which a lease can have an event, and the state after it. An event that changes none leaves it out. */
const LEASE: Partial<
  Record<EventKind, { readonly from: readonly LeaseState[]; readonly to?: LeaseState | 'ended' }>
> = {
  'lease.issued': { from: ['minting'], to: 'active' },
  'lease.mint-failed': { from: ['minting'] },
  'lease.renewed': { from: ['active'] },
  'lease.ending': { from: ['minting', 'active'], to: 'ending' },
  'lease.end-failed': { from: ['ending'] },
  'lease.ended': { from: ['minting', 'ending'], to: 'ended' },
};

interface Lease {
  readonly state: LeaseState;
  readonly issued: boolean;
}

/**
 * Remembers tasks that are open and leases that live, never more: what has ended is forgotten, and an event about it is
 * then one about something that never began. With `midway` the log is read from somewhere within: the unknown is let be.
 */
export function createLives(midway = false): Lives {
  const leases = new Map<string, Lease>();
  const tasks = new Set<string>();

  function task(id: string, event: AuditEvent): string | null {
    if (event.kind === 'task.opened') {
      if (tasks.has(id)) return `task ${id} was opened twice`;
      tasks.add(id);
      return null;
    }
    if (!tasks.has(id)) return midway ? null : `task ${id} was not open`;
    if (event.kind === 'task.ended') tasks.delete(id);
    return null;
  }

  function lease(id: string, event: AuditEvent): string | null {
    const before = leases.get(id);
    if (event.kind === 'lease.intended') {
      if (before !== undefined) return `lease ${id} began twice`;
      leases.set(id, { state: 'minting', issued: false });
      const { task: owner } = event.about;
      return owner !== undefined && (tasks.has(owner) || midway)
        ? null
        : `lease ${id} began without an open task`;
    }
    const rule = LEASE[event.kind];
    if (rule === undefined) return null;
    if (before === undefined) return midway ? null : `lease ${id} had not begun, or had ended`;
    if (!rule.from.includes(before.state)) return `lease ${id} was ${before.state}`;
    if (rule.to === 'ended') leases.delete(id);
    else leases.set(id, { state: rule.to ?? before.state, issued: before.issued || rule.to === 'active' });
    return event.kind === 'lease.ended' ? endFault(id, before, event.data.outcome) : null;
  }

  return {
    next(event) {
      const { about, kind } = event;
      if (kind.startsWith('task.') && about.task !== undefined) return task(about.task, event);
      if (kind.startsWith('lease.') && about.lease !== undefined) return lease(about.lease, event);
      return null;
    },
  };
}

/** Ends are told truthfully: what was issued was minted, and what never began to end was never minted. */
function endFault(id: string, { state, issued }: Lease, outcome: Outcome): string | null {
  if (issued && outcome === 'never-minted') return `lease ${id} was issued, and cannot be never-minted`;
  if (state === 'minting' && outcome !== 'never-minted')
    return `lease ${id} is ${outcome} and never began to end`;
  return null;
}
