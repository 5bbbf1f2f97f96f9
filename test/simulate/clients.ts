import type { Caller, OpenedTask, OpenTask, Verbs } from '../../src/broker/verbs.ts';
import { HallpassError } from '../../src/errors.ts';
import type { Secret } from '../../src/providers/provider.ts';
import type { LeaseRow } from '../../src/store/rows.ts';
import { asking, callerOf, type TestBroker, WORKLOAD } from '../support/broker.ts';
import type { Land } from './land.ts';
import { type Ledger, TOLERANCE_MS } from './ledger.ts';
import type { Replica } from './replica.ts';
import type { Schedule } from './schedule.ts';

/** Those who ask: jobs with their tasks, operators, and what they were given. */
export interface Clients {
  /** Sends one request, of whatever kind the seed says, to a replica; nobody waits for the answer. */
  act(replica: Replica): void;
  /** Tokens that were handed out. */
  readonly tokens: readonly string[];
  /** How many answers were good. */
  served(): number;
}

interface Job {
  readonly id: string;
  readonly token: string;
  readonly credentials: Credential[];
}

interface Credential {
  readonly leaseId: string;
  readonly target: string;
  readonly secret: Secret;
}

interface Answer {
  readonly ok: boolean;
  readonly error?: unknown;
}

type Verb = (verbs: Verbs, holder: Caller) => Promise<Answer>;

const OPERATOR = callerOf({}, ['operator']);

/** What a broker may throw at its borders: the store is away, or others were always quicker. */
const EXPECTED: ReadonlySet<string> = new Set(['store-unavailable', 'store-conflict', 'overloaded']);

export function createClients(
  schedule: Schedule,
  lands: ReadonlyMap<string, Land>,
  replicas: readonly Replica[],
  ledger: Ledger,
): Clients {
  const { random } = schedule;
  const jobs: Job[] = [];
  const tokens: string[] = [];
  const delivered = new Set<string>();
  let served = 0;

  function ask(replica: Replica, what: string, request: (hallpass: TestBroker) => Promise<Answer>): void {
    const { hallpass, owner } = replica;
    if (hallpass === null || !owner?.alive) return;
    schedule.say(`a client asks ${replica.name} to ${what}`);
    request(hallpass).then(
      (answer) => {
        if (answer.ok) served++;
        const reason = (answer.error as { reason?: string } | undefined)?.reason ?? 'yes';
        schedule.say(`${replica.name} answers to ${what}: ${reason}`);
      },
      (error: unknown) => {
        schedule.say(`${replica.name} fails to ${what}`);
        const isOurs = error instanceof HallpassError && EXPECTED.has(error.code);
        if (!isOurs || /^Cannot [a-z-]+ lease ".*": it is [a-z]+$/.test(error.message))
          ledger.faults.push(`0: ${what} threw ${String(error)}`);
      },
    );
  }

  function open(replica: Replica): void {
    const key = random.chance(0.4) ? `key-${random.below(3)}` : null;
    const grant = random.pick(['report', 'beating'] as const);
    const wish = asking({ grant, idempotencyKey: key, ttlSeconds: random.pick([null, null, 5, 40]) });
    const request = (hallpass: TestBroker) => openAs(hallpass, wish);
    ask(replica, `open ${grant}`, request);
    // A client that hears nothing asks again, here or elsewhere.
    if (key !== null && random.chance(0.4)) ask(random.pick(replicas), `open ${grant} again`, request);
  }

  async function openAs(hallpass: TestBroker, wish: OpenTask) {
    const answer = await hallpass.verbs.openTask(WORKLOAD, wish);
    if (answer.ok) receive(answer.value, wish.idempotencyKey);
    return answer;
  }

  function receive({ task, token, credentials, repeated }: OpenedTask, key: string | null): void {
    if (repeated || token === null) {
      ledger.faults.push(`7: a task without a key to seal for was given again`);
      return;
    }
    const identity = `${task.grant}/${key}`;
    if (key !== null && delivered.has(task.idempotencyKey ?? identity))
      ledger.faults.push(`7: ${identity} was delivered twice`);
    delivered.add(task.idempotencyKey ?? identity);
    tokens.push(token);
    jobs.push({ id: task.id, token, credentials: credentials.map(given) });
  }

  function given({ lease, secret }: OpenedTask['credentials'][number]): Credential {
    if (!ledger.issued.has(lease.id))
      ledger.faults.push(`1: ${lease.id} was handed out before it was issued`);
    return { leaseId: lease.id, target: lease.target, secret: secret! };
  }

  async function asHolder<T>(hallpass: TestBroker, job: Job, verb: (holder: Caller) => Promise<T>) {
    const holder = await hallpass.verbs.identify({ kind: 'bearer', token: job.token }, 'simulated');
    if (holder.ok) return verb(holder.value);
    ledger.faults.push(`0: ${job.id} has lost its token`);
    return holder;
  }

  function complete(replica: Replica, job: Job): void {
    const request = (hallpass: TestBroker) =>
      asHolder(hallpass, job, async (holder) => {
        const answer = await hallpass.verbs.completeTask(holder, job.id, 0);
        if (answer.ok) for (const lease of answer.value.leases) mustBeDead(job, lease);
        return answer;
      });
    ask(replica, `complete ${job.id}`, request);
    if (random.chance(0.2)) ask(random.pick(replicas), `complete ${job.id} again`, request);
  }

  /** Whoever is told that a credential has ended finds it so; what lapsed, by any clock that may be right. */
  function mustBeDead(job: Job, lease: LeaseRow): void {
    const credential = job.credentials.find(({ leaseId }) => leaseId === lease.id);
    const mayBeEarly = lease.outcome === 'expired' && lease.expiresAt <= schedule.now() + TOLERANCE_MS;
    if (lease.state !== 'ended' || credential === undefined || mayBeEarly) return;
    if (lands.get(credential.target)?.world.use(credential.secret))
      ledger.faults.push(`3: ${lease.id} is said to have ended as ${lease.outcome}, but it works`);
  }

  /** Asks for something as the holder of a task. */
  function askAs(replica: Replica, what: string, job: Job, verb: Verb): void {
    ask(replica, what, (hallpass) => asHolder(hallpass, job, (holder) => verb(hallpass.verbs, holder)));
  }

  function work(replica: Replica, job: Job): void {
    const verb = random.pick([
      'complete',
      'heartbeat',
      'heartbeat',
      'add',
      'lease',
      'lease',
      'lease',
      'lease',
    ]);
    const credential = job.credentials.length === 0 ? null : random.pick(job.credentials);
    if (verb === 'complete') {
      complete(replica, job);
    } else if (verb === 'heartbeat') {
      askAs(replica, `hear of ${job.id}`, job, (verbs, holder) => verbs.heartbeat(holder, job.id));
    } else if (verb === 'add') {
      askAs(replica, `add to ${job.id}`, job, async (verbs, holder) => {
        const answer = await verbs.addCredentials(holder, job.id, { credentials: ['db'], ttlSeconds: null });
        if (answer.ok) job.credentials.push(...answer.value.credentials.map(given));
        return answer;
      });
    } else if (credential !== null) {
      workWith(replica, job, credential);
    }
  }

  function workWith(replica: Replica, job: Job, { leaseId, target, secret }: Credential): void {
    const verb = random.pick(['use', 'renew', 'renew', 'revoke', 'operator']);
    if (verb === 'use') {
      schedule.say(`${leaseId} is used: ${lands.get(target)?.enter(secret)}`);
    } else if (verb === 'operator') {
      ask(replica, `revoke ${leaseId} for an operator`, ({ verbs }) =>
        verbs.revokeLease(OPERATOR, leaseId, 'simulated'),
      );
    } else if (verb === 'revoke') {
      askAs(replica, `revoke ${leaseId}`, job, (verbs, holder) =>
        verbs.revokeLease(holder, leaseId, 'simulated'),
      );
    } else {
      const ttlSeconds = random.pick([null, 10, 30, 45]);
      askAs(replica, `renew ${leaseId}`, job, (verbs, holder) =>
        verbs.renewLease(holder, leaseId, ttlSeconds),
      );
    }
  }

  return {
    act(replica) {
      if (jobs.length === 0 || random.chance(0.35)) open(replica);
      else work(replica, random.pick(jobs));
    },
    tokens,
    served: () => served,
  };
}
