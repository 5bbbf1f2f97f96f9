import type { Actor, AuditEvent } from '../audit/event.ts';
import { printDuration } from '../duration.ts';
import { instant } from '../instant.ts';
import type { RequestAsk } from '../store/rows.ts';
import { visible } from './text.ts';

/** An event as people are told of it: from the log alone, which holds what the broker itself knows. */
export interface Notice {
  /** The event's: the same whenever it is sent again. */
  readonly id: string;
  readonly kind: string;
  /** RFC 3339. */
  readonly at: string;
  /** In our own words, and names of the configuration. */
  readonly title: string;
  readonly facts: readonly Fact[];
  /** Where to read more, and to decide. */
  readonly link: string | null;
  /** What a button decides on; null where nothing waits, or something of it is not shown. */
  readonly decide: Decide | null;
}

/** A line of a notice. Its value is on one line, with nothing hidden in it. */
export type Fact = readonly [label: string, value: string];

export interface Decide {
  readonly request: string;
  /** Of what is shown: an approval is for this and nothing else. */
  readonly digest: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

/** What to tell of an event. `url` is the broker's, as its people reach it. */
export function noticeOf(event: AuditEvent, url: string): Notice {
  const { id, at, kind } = event;
  const { title, facts, decide = null } = tell(event);
  const request = kind.startsWith('request.') ? (event.data as { readonly id?: unknown }).id : undefined;
  const link = typeof request === 'string' ? requestLink(url, request) : null;
  return { id, kind, at, title: visible(title), facts: shown(facts), link, decide };
}

export function requestLink(url: string, request: string): string {
  return `${url}/requests/${encodeURIComponent(request)}`;
}

interface Told {
  readonly title: string;
  readonly facts: readonly Fact[];
  readonly decide?: Decide;
}

function tell(event: AuditEvent): Told {
  const by: Fact = ['By', who(event.actor)];
  const grant = event.about.grant === undefined ? '' : ` for grant ${event.about.grant}`;
  switch (event.kind) {
    case 'request.created': {
      const { ask, onBehalfOf, expiresAt, digest, id } = event.data;
      const facts = askFacts({
        who: who(event.actor),
        onBehalfOf: Array.isArray(onBehalfOf) ? onBehalfOf.map(String) : [],
        grant: event.about.grant ?? '',
        ask: isAsk(ask) ? ask : null,
        expiresAt,
      });
      const title = `Approval is asked${grant}`;
      // Nobody approves what the log could not hold, and so is not shown.
      if (!isAsk(ask) || !Array.isArray(onBehalfOf)) return { title, facts };
      return { title, facts, decide: { request: id, digest, until: Date.parse(expiresAt) } };
    }
    case 'request.approved': {
      const { ttlSeconds, complete } = event.data;
      const bound: Fact[] = ttlSeconds === null ? [] : [['For at most', printDuration(ttlSeconds)]];
      const title = complete ? `A request${grant} is approved` : `A request${grant} has one more approval`;
      return { title, facts: [['Request', event.data.id], by, ...bound] };
    }
    case 'request.denied':
    case 'request.cancelled': {
      const title = `A request${grant} is ${event.kind === 'request.denied' ? 'denied' : 'cancelled'}`;
      return { title, facts: [['Request', event.data.id], by, ['Why', textOf(event.data.reason)]] };
    }
    case 'request.expired':
      return { title: `A request${grant} has expired`, facts: [['Request', event.data.id]] };
    case 'request.redeemed': {
      const task: Fact[] = event.about.task === undefined ? [] : [['Task', event.about.task]];
      return {
        title: `An approved request${grant} is used`,
        facts: [['Request', event.data.id], by, ...task],
      };
    }
    case 'kill.ordered': {
      const { id, reason, match } = event.data;
      return {
        title: 'A kill is ordered',
        facts: [['Kill', id], by, ['What', matchOf(match)], ['Why', textOf(reason)]],
      };
    }
    case 'kill.marked': {
      const { id, tasks, leases } = event.data;
      return {
        title: 'All that a kill matches is due',
        facts: [
          ['Kill', id],
          ['Leases', String(leases)],
          ['Tasks', String(tasks)],
        ],
      };
    }
    case 'block.lifted':
      return {
        title: 'A block is lifted',
        facts: [['Kill', event.data.id], by, ['Why', textOf(event.data.reason)]],
      };
    case 'breakglass.opened':
      return other(event, by, `${event.data.practice ? 'PRACTICE: ' : ''}THE GLASS IS BROKEN${grant}`);
    case 'review.due':
      return other(event, by, `A review of break-glass is overdue${grant}`);
    case 'review.closed':
      return other(event, by, `A review of break-glass is closed${grant}`);
    default:
      return other(event, by, `Event ${event.kind}`);
  }
}

/** All that an event says, under its title. */
function other({ about, data }: AuditEvent, by: Fact, title: string): Told {
  const members = [...Object.entries(about), ...Object.entries(data)];
  const facts = members.map(([name, value]): Fact => [name, textOf(value)]);
  return { title, facts: [by, ...facts] };
}

/** Who asks for what, why and for how long. `ask` is null where it was too long for the log. */
export function askFacts(request: {
  readonly who: string;
  readonly onBehalfOf: readonly string[];
  readonly grant: string;
  readonly ask: RequestAsk | null;
  /** RFC 3339. */
  readonly expiresAt: string;
}): readonly Fact[] {
  const { ask, onBehalfOf } = request;
  const behind: Fact[] = onBehalfOf.length === 0 ? [] : [['On behalf of', onBehalfOf.join(', ')]];
  const what = ask === null ? [['What', 'too long to show'] as const] : wished(ask);
  return shown([
    ['Who', request.who],
    ...behind,
    ['Grant', request.grant],
    ...what,
    ['Waits until', request.expiresAt],
  ]);
}

/** All of an ask but the version of its grant, which nobody reads. A member that is new here must be shown as well. */
function wished(ask: RequestAsk): readonly Fact[] {
  const { task, purpose, ticket, notBefore, practice, parameters, taskGrant, credentials, ...rest } = ask;
  const { grantVersion: _, ...unshown } = rest;
  unshown satisfies Record<string, never>;
  return [
    ...(practice === undefined ? [] : [['Practice', 'nothing is issued'] as const]),
    ['Task', task],
    ['Why', purpose ?? ''],
    ...(ticket === undefined ? [] : [['Ticket', ticket] as const]),
    ...(notBefore === undefined ? [] : [['Not before', instant(notBefore)] as const]),
    ...(taskGrant === null ? [] : [['Task grant', taskGrant] as const]),
    ...Object.entries(parameters).map(([name, value]): Fact => [`Parameter ${name}`, textOf(value)]),
    ...credentials.map(({ name, target, scope, ttlSeconds, capSeconds }): Fact => {
      const long = `for ${printDuration(ttlSeconds)}, at most ${printDuration(capSeconds)}`;
      return [`Credential ${name}`, `at ${target}, ${long}: ${textOf(scope)}`];
    }),
  ];
}

function shown(facts: readonly Fact[]): readonly Fact[] {
  return facts.map(([label, value]) => [visible(label), visible(value)]);
}

export function who(actor: Actor): string {
  if (actor.kind === 'system') return 'the broker';
  const through = (actor.actors ?? []).map(({ issuer, subject }) => `, through ${subject} (${issuer})`);
  return `${actor.subject} (${actor.issuer})${through.join('')}`;
}

function matchOf(match: unknown): string {
  const members = Object.entries((match ?? {}) as object).filter(([, value]) => value !== null);
  return members.length === 0
    ? 'everything'
    : members.map(([name, value]) => `${name} ${textOf(value)}`).join(', ');
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** What was too long for the log is `{ omitted }` there. */
function isAsk(ask: unknown): ask is RequestAsk {
  return typeof ask === 'object' && ask !== null && 'task' in ask && 'credentials' in ask;
}
