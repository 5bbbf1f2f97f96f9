import type { SessionEnd } from '../audit/event.ts';
import { redactClaims } from '../audit/redact.ts';
import { rolesOf } from '../grants/access.ts';
import type { Evidence, Principal, SingleUse } from '../identity/attestor.ts';
import { instant } from '../instant.ts';
import { sha256 } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import { newId } from '../runtime.ts';
import type { SessionRow } from '../store/rows.ts';
import {
  addSession,
  endSession,
  lapsedSessions,
  type NewSession,
  prolongSession,
  sessionOfToken,
} from '../store/sessions.ts';
import { actorOf, type Broker } from './broker.ts';
import { proofFor } from './delegation.ts';
import { attestAny, evidenceHash } from './identify.ts';
import { boundBy } from './possession.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import type { PrincipalCaller } from './verbs.ts';

/** What every token of a session begins with, so that one that leaked can be told. */
const TOKEN = /^hps_[A-Za-z0-9_-]{43}$/;

/** A session's end is moved when this share of its idle limit has gone by: not every request writes. */
const PROLONG_AFTER = 0.1;

const NO_CLAIMS: ReadonlySet<string> = new Set();

export interface SessionSettings {
  /** The issuer at which people sign in, by its name in the configuration. */
  readonly issuer: string;
  /** A session never outlives this, nor the token that it began with. */
  readonly lifetimeMs: number;
  /** It ends when it is not used for so long. */
  readonly idleMs: number;
}

/** Somebody who signed in, as the verbs know callers: his roles are those that the configuration gives him now. */
export interface PersonSession {
  readonly id: string;
  readonly caller: PrincipalCaller;
  readonly expiresAt: number;
}

/** People's sessions. They live in the store alone, so that all replicas know them and what ends one ends it everywhere. */
export interface SessionVerbs {
  /**
   * Begins a session for whom the identity token proves, by the attestor that judges it as a bearer token too. `flow` is
   * the sign-in that it came from, which serves once; `replaced` the token of a session that this one takes the place of.
   */
  signIn(
    idToken: string,
    flow: SingleUse,
    replaced: string | null,
  ): Promise<Result<{ readonly token: string; readonly session: PersonSession }, Refusal>>;
  /** A sign-in that did not come as far as a token. `detail` is for the log. */
  refuseSignIn(detail: string): Promise<void>;
  /** Whose session a token is; null: nobody's, or nobody's any more. */
  resume(token: string): Promise<PersonSession | null>;
  /** Ends the session of a token for good. */
  signOut(token: string): Promise<void>;
  /** Refuses what was sent with a session, or with none, with its true reason in the log. */
  refuse(session: PersonSession | null, request: string, detail: string): Promise<void>;
}

export function createSessionVerbs(broker: Broker, settings: SessionSettings): SessionVerbs {
  return {
    signIn: (idToken, flow, replaced) => signIn(broker, settings, idToken, flow, replaced),
    refuseSignIn: (detail) => logRefusal(broker, 'not-allowed', detail, null),
    resume: (token) => resume(broker, settings, token),
    async signOut(token) {
      await endByToken(broker, token, 'signed-out');
    },
    async refuse(session, request, detail) {
      await refuse(broker, session?.caller ?? null, {}, request, { reason: 'not-allowed', detail });
    },
  };
}

async function signIn(
  broker: Broker,
  settings: SessionSettings,
  idToken: string,
  flow: SingleUse,
  replaced: string | null,
): ReturnType<SessionVerbs['signIn']> {
  const evidence: Evidence = { kind: 'bearer', token: idToken };
  const no = async (reason: 'unauthenticated' | 'not-allowed', detail: string) => {
    await logRefusal(broker, reason, detail, evidenceHash(evidence));
    return err<Refusal>({ reason, detail });
  };
  const proven = await provePerson(broker, settings, evidence);
  if (!proven.ok) return no('unauthenticated', proven.error);
  const { runtime, database } = broker;
  const { singleUse, ...proof } = proven.value.proof;
  const now = runtime.now();
  const expiresAt = Math.min(now + settings.lifetimeMs, proof.expiresAt);
  if (expiresAt <= now) return no('unauthenticated', 'expired: the identity token has no time left');
  // Its one use is this sign-in: what follows rests on the session.
  const principal: Principal = { ...proven.value, proof };
  const token = `hps_${Buffer.from(runtime.randomBytes(32)).toString('base64url')}`;
  const row: SessionRow = {
    id: newId(runtime),
    tokenHash: sha256(token),
    issuer: principal.issuer,
    subject: principal.subject,
    principal,
    beganAt: now,
    expiresAt,
    endsAt: Math.min(expiresAt, now + settings.idleMs),
  };
  const session = sessionOf(broker, row);
  const made = await addSession(database, runtime, row, [flow, ...(singleUse ? [singleUse] : [])], {
    kind: 'signin.succeeded',
    actor: actorOf(session.caller),
    about: {},
    data: {
      session: row.id,
      claims: redactClaims(principal.claims, broker.sensitiveClaims ?? NO_CLAIMS),
      proof: proofFor(proof),
      expiresAt: instant(expiresAt),
    },
  });
  if (made !== 'made') return no('not-allowed', NOT_MADE[made]);
  if (replaced !== null) await endByToken(broker, replaced, 'replaced');
  return ok({ token, session });
}

const NOT_MADE: Readonly<Record<Exclude<NewSession, 'made'>, string>> = {
  replayed: 'replayed: this sign-in, or its token, was used before',
  killed: 'block: a kill keeps this identity out until its block is lifted',
  'too-many': 'too many sessions of this identity are open',
};

/** Whom an identity token proves: as it would for the API, and of the issuer at which people sign in. */
async function provePerson(
  broker: Broker,
  { issuer }: SessionSettings,
  evidence: Evidence,
): Promise<Result<Principal, string>> {
  const attestors = broker.attestors.filter((attestor) => attestor.issuer === issuer);
  const attested = await attestAny(broker, evidence, attestors);
  if (!attested.ok) return err(attested.error.detail);
  const bound = boundBy(attested.value.claims);
  if (!bound.ok) return err(`${issuer}: ${bound.error}`);
  if (bound.value !== null)
    return err(`${issuer}: the token is bound to a key, which a browser does not prove`);
  return attested;
}

async function resume(
  broker: Broker,
  settings: SessionSettings,
  token: string,
): Promise<PersonSession | null> {
  if (!TOKEN.test(token)) return null;
  const found = await sessionOfToken(broker.database, sha256(token));
  if (found === null) return null;
  const { session: row, killed } = found;
  const now = broker.runtime.now();
  const over = killed ? 'killed' : lapsedAs(row, now);
  if (over !== null) {
    await end(broker, row, over);
    return null;
  }
  // The configuration may have changed since: whoever is not trusted now was not worth trusting then.
  if (row.issuer !== settings.issuer) return null;
  const endsAt = Math.min(row.expiresAt, now + settings.idleMs);
  if (endsAt - row.endsAt > settings.idleMs * PROLONG_AFTER)
    await prolongSession(broker.database, row.id, endsAt);
  return sessionOf(broker, row);
}

/** Why a session is over at `now`; null: it is not. */
function lapsedAs({ expiresAt, endsAt }: SessionRow, now: number): SessionEnd | null {
  if (now >= expiresAt) return 'expired';
  return now >= endsAt ? 'idle' : null;
}

/** Ends sessions whose time is up. Until then nobody can use them all the same. */
export async function endSessions(broker: Broker, limit: number): Promise<void> {
  const now = broker.runtime.now();
  for (const row of await lapsedSessions(broker.database, now, limit))
    await end(broker, row, lapsedAs(row, now) ?? 'idle');
}

async function endByToken(broker: Broker, token: string, reason: SessionEnd): Promise<void> {
  if (!TOKEN.test(token)) return;
  const found = await sessionOfToken(broker.database, sha256(token));
  if (found !== null) await end(broker, found.session, reason);
}

async function end(broker: Broker, row: SessionRow, reason: SessionEnd): Promise<void> {
  await endSession(broker.database, broker.runtime, row.id, {
    kind: 'signin.ended',
    actor: actorOf(sessionOf(broker, row).caller),
    about: {},
    data: { session: row.id, reason },
  });
}

function sessionOf(broker: Broker, { id, principal, expiresAt }: SessionRow): PersonSession {
  return {
    id,
    caller: { kind: 'principal', principal, roles: rolesOf(broker.access, principal) },
    expiresAt,
  };
}

async function logRefusal(
  broker: Broker,
  reason: string,
  detail: string,
  evidence: string | null,
): Promise<void> {
  broker.observe.refused(reason);
  await broker.committer.commit({
    events: [
      { kind: 'signin.refused', actor: { kind: 'system' }, about: {}, data: { reason, detail, evidence } },
    ],
  });
}
