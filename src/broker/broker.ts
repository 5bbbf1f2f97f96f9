import type { Logger } from 'pino';
import type { NewEvent } from '../audit/event.ts';
import type { AccessRule } from '../grants/access.ts';
import type { Grant, Human } from '../grants/grant.ts';
import type { ActingParty, Attestor, Principal } from '../identity/attestor.ts';
import type { BrokerLimits } from '../limits.ts';
import type { Runtime } from '../runtime.ts';
import type { Committer } from '../store/commit.ts';
import type { Database } from '../store/database.ts';
import type { Clock } from './clock.ts';
import type { Nonces } from './nonce.ts';
import type { LiveTarget } from './targets.ts';
import type { Trail } from './trail.ts';
import type { Caller } from './verbs.ts';

/** Everything that the verbs work with. Made once by main.ts; nothing in it grows with the number of leases (invariant 9). */
export interface Broker {
  readonly runtime: Runtime;
  readonly database: Database;
  readonly committer: Committer;
  readonly attestors: readonly Attestor[];
  readonly grants: ReadonlyMap<string, Grant>;
  /** Names of grants whose open tasks end. */
  readonly withdrawn: ReadonlySet<string>;
  readonly targets: ReadonlyMap<string, LiveTarget>;
  readonly access: readonly AccessRule[];
  readonly people: readonly Human[];
  /** Claims whose values the log keeps as hashes. */
  readonly sensitiveClaims?: ReadonlySet<string>;
  /** Audit trails of clouds that are delivered here, by name. */
  readonly trails?: ReadonlyMap<string, Trail>;
  /** How the names of all our credentials begin. */
  readonly mark: string;
  /** Where its clients reach it, without a slash at the end. */
  readonly url: string;
  /** For proofs of possession. */
  readonly nonces: Nonces;
  readonly limits: BrokerLimits;
  /** Asked before anything is claimed, begun or ended by the clock. */
  readonly clock: Clock;
  readonly log: Logger;
  readonly observe: Observer;
  /** Called when something has become due now, so that the reaper need not wait for its next look. */
  readonly wakeReaper: () => void;
}

/** What the broker counts and times. */
export interface Observer {
  issued(target: string, mintMs: number): void;
  mintFailed(target: string, code: string): void;
  ended(target: string, outcome: string, lagMs: number): void;
  endFailed(target: string, code: string): void;
  refused(reason: string): void;
}

export function actorOf(caller: Caller): NewEvent['actor'] {
  const { issuer, subject, actors } = principalOf(caller);
  return { kind: 'principal', issuer, subject, ...(actors === undefined ? {} : { actors: names(actors) }) };
}

/** Those who act for a principal, without what proves it. */
export function names(actors: readonly Pick<ActingParty, 'issuer' | 'subject'>[]) {
  return actors.map(({ issuer, subject }) => ({ issuer, subject }));
}

export function principalOf(caller: Caller): Principal {
  return caller.kind === 'principal' ? caller.principal : caller.task.principal;
}
