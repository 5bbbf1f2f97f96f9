import { explain as explainGrant } from '../grants/decide.ts';
import type { Ask, Check, Grant } from '../grants/grant.ts';
import { matchesPrincipal } from '../grants/principal.ts';
import type { Principal } from '../identity/attestor.ts';
import { ok, type Result } from '../result.ts';
import { authorize, disclose } from './authorize.ts';
import { type Broker, names, principalOf } from './broker.ts';
import { actedFor } from './delegation.ts';
import { attest } from './identify.ts';
import type { Refusal } from './refusal.ts';
import type { AvailableGrant, Caller, Explain, Explanation } from './verbs.ts';

/** The grants that let the caller in, with what he may set. Those that do not are not named to him. */
export async function availableGrants(
  broker: Broker,
  caller: Caller,
): Promise<Result<readonly AvailableGrant[], Refusal>> {
  const principal = principalOf(caller);
  const shown = await disclose(broker, caller, 'grants', null);
  if (!shown.ok) return shown;
  const grants = [...broker.grants.values()].filter((grant) =>
    grant.who.some((matcher) => matchesPrincipal(matcher, principal)),
  );
  return ok(grants.map(describeGrant));
}

function describeGrant(grant: Grant): AvailableGrant {
  return {
    name: grant.name,
    version: grant.version,
    description: grant.description,
    tasks: grant.tasks.map((pattern) => pattern.text),
    purpose: grant.purpose,
    purposePatterns: (grant.purposePatterns ?? []).map(({ text }) => text),
    ticketPatterns: (grant.ticketPatterns ?? []).map(({ text }) => text),
    needsApproval: grant.approval !== null,
    breakGlass: grant.breakGlass !== null,
    credentials: [...grant.credentials.values()].map(({ name, target, provider, ttl }) => ({
      name,
      target,
      provider,
      defaultTtlSeconds: ttl.defaultSeconds,
      maxTtlSeconds: ttl.maxSeconds,
    })),
    parameters: [...grant.parameters.values()].map(({ name, required }) => ({ name, required })),
  };
}

/**
 * Says to an operator, check by check, why a request would be allowed or refused: for a token, which is verified and
 * not used, or for an identity as it is described. Nothing is granted.
 */
export async function explain(
  broker: Broker,
  caller: Caller,
  ask: Explain,
): Promise<Result<Explanation, Refusal>> {
  const permission = await authorize(broker, caller, ['operator', 'auditor'], 'explanation', {
    grant: ask.grant,
  });
  if (!permission.ok) return permission;
  const alone = ask.token === null ? described(ask) : await proven(broker, ask.token);
  const subject = ask.actorToken === undefined ? alone : await acted(broker, alone, ask.actorToken);
  const { principal } = subject;
  const grants = [...broker.grants.values()].filter(
    (grant) => ask.grant === null || grant.name === ask.grant,
  );
  return ok({
    identity: principal && {
      issuer: principal.issuer,
      subject: principal.subject,
      ...(principal.actors === undefined ? {} : { actors: names(principal.actors) }),
    },
    token: subject.token,
    grants: principal === null ? [] : grants.map((grant) => explainOne(broker, grant, principal, ask)),
  });
}

function explainOne(broker: Broker, grant: Grant, principal: Principal, ask: Explain) {
  const wish: Ask = {
    principal,
    // Without a task the first name that the grant covers stands in, so that the other checks can be read.
    task: ask.task ?? grant.tasks[0]?.text ?? '',
    purpose: ask.purpose,
    ticket: ask.ticket,
    parameters: ask.parameters,
    credentials: ask.credentials,
    ttlSeconds: ask.ttlSeconds,
    now: broker.runtime.now(),
  };
  const checks: readonly Check[] = explainGrant(grant, null, wish);
  return { grant: grant.name, allowed: checks.every((check) => check.ok), checks };
}

interface Subject {
  readonly principal: Principal | null;
  readonly token: Explanation['token'];
}

function described(ask: Explain): Subject {
  if (ask.identity === null) return { principal: null, token: null };
  const { actors = [], ...identity } = ask.identity;
  const proof = { method: 'described', evidenceHash: '', expiresAt: 0 };
  const parties = actors.map((actor) => ({ ...actor, proof: null }));
  const acting = parties.length === 0 ? {} : { actors: parties };
  return { principal: { ...identity, ...acting, proof }, token: null };
}

/** The subject with the holder of the actor token before those who act for it. What is wrong is said of the token. */
async function acted(broker: Broker, subject: Subject, actorToken: string): Promise<Subject> {
  if (subject.principal === null) return subject;
  const actor = await proven(broker, actorToken);
  if (actor.principal === null)
    return {
      principal: null,
      token: actor.token && { ...actor.token, detail: `Actor: ${actor.token.detail}` },
    };
  const principal = actedFor(subject.principal, actor.principal);
  return principal.ok
    ? { ...subject, principal: principal.value }
    : { principal: null, token: { ok: false, reason: 'actor', detail: principal.error } };
}

async function proven(broker: Broker, token: string): Promise<Subject> {
  for (const attestor of broker.attestors) {
    const answer = await attest(broker, attestor, { kind: 'bearer', token });
    if (answer === null) continue;
    if (answer.ok) {
      return {
        principal: answer.value,
        token: { ok: true, reason: 'verified', detail: `By issuer "${attestor.issuer}"` },
      };
    }
    return {
      principal: null,
      token: { ok: false, reason: answer.error.reason, detail: answer.error.detail },
    };
  }
  return {
    principal: null,
    token: { ok: false, reason: 'unknown-issuer', detail: 'No configured issuer vouches for this token' },
  };
}
