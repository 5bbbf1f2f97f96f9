import { printDuration } from '../duration.ts';
import type { Json } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import { type ReasonedCheck, show } from './check.ts';
import { conditionInput } from './condition.ts';
import { quote } from './fault.ts';
import type {
  Ask,
  Check,
  CredentialGrant,
  Cut,
  DecidedCredential,
  Decision,
  Grant,
  PolicyRefusal,
} from './grant.ts';
import { MAX_SHOWN, MAX_TASK_LENGTH } from './limits.ts';
import { hasDotSegment, isPlainText } from './parameter.ts';
import { actorsLookedAt, checkPrincipal, claimsLookedAt } from './principal.ts';
import { checkPurpose, checkTicket } from './reason.ts';

/**
 * Whether the grant, or what a task grant cut from it, allows exactly this. The refusal is the first check that fails
 * in `explain`: both run the same checks. Limits over many leases are not looked at here; they are the store's.
 */
export function decide(grant: Grant, cut: Cut | null, ask: Ask): Result<Decision, PolicyRefusal> {
  const { checks, decision } = inspect(grant, cut, ask);
  const failed = checks.find((check) => !check.ok);
  if (failed !== undefined) {
    const { reason, subject, expected, actual, claim } = failed;
    const detail = `${subject}: expected ${expected}, found ${actual}`;
    return err({ reason, detail, ...(claim === undefined ? {} : { claim }) });
  }
  return ok(decision());
}

/** All that the grant looks at, in order, for operators. */
export function explain(grant: Grant, cut: Cut | null, ask: Ask): Check[] {
  return inspect(grant, cut, ask).checks.map(({ reason: _, claim: __, ...check }) => check);
}

interface Inspection {
  readonly checks: readonly ReasonedCheck[];
  /** Only to be called when all checks are ok. */
  decision(): Decision;
}

function inspect(grant: Grant, cut: Cut | null, ask: Ask): Inspection {
  const parameters = withDefaults(grant, cut, ask);
  const chosen = chooseCredentials(grant, cut, ask);
  const parameterChecks = checkParameters(grant, cut, ask, parameters);
  const sound = parameterChecks.every((check) => check.ok) && isTaskName(ask.task);
  const scopes = sound ? chosen.credentials.map((credential) => scopeOf(credential, ask, parameters)) : [];
  const checks = [
    ...checkPrincipal(grant, ask),
    ...checkTask(grant, ask),
    ...(cut === null ? [] : checkCut(cut, ask)),
    checkPurpose(grant, ask),
    checkTicket(grant, ask),
    ...parameterChecks,
    ...chosen.checks,
    ...chosen.credentials.map((credential) => checkTtl(credential, cut, ask)),
    ...scopes.map(({ check }) => check),
    ...(sound ? checkConditions(grant, ask, parameters) : []),
  ];
  return {
    checks,
    decision: () => ({
      grant: grant.name,
      grantVersion: grant.version,
      parameters,
      credentials: scopes.flatMap(({ credential, scope }) =>
        scope === undefined ? [] : [decided(credential, scope, cut, ask)],
      ),
      heartbeatSeconds: grant.heartbeatSeconds,
      limits: grant.limits,
      claims: claimsLookedAt(grant, ask),
      ...(ask.principal.actors === undefined ? {} : { actors: actorsLookedAt(grant, ask) }),
    }),
  };
}

function checkTask(grant: Grant, ask: Ask): ReasonedCheck[] {
  const name: ReasonedCheck = {
    reason: 'task',
    subject: 'task',
    ok: isTaskName(ask.task) && grant.tasks.some((pattern) => pattern.matches(ask.task)),
    expected: isTaskName(ask.task)
      ? grant.tasks.map((pattern) => pattern.text).join(' or ')
      : `1 to ${MAX_TASK_LENGTH} characters, none of them a control character, and no segment "." or ".."`,
    actual: show(ask.task),
  };
  return [name];
}

/** Names that can be stored and shown, and that no template can turn into a way out of a path. */
function isTaskName(task: string): boolean {
  return task.length > 0 && task.length <= MAX_TASK_LENGTH && isPlainText(task) && !hasDotSegment(task);
}

/** What the task grant says of task and subject; its parameters, credentials and TTL are seen where the grant's are. */
function checkCut(cut: Cut, ask: Ask): ReasonedCheck[] {
  const { issuer, subject } = ask.principal;
  const task: ReasonedCheck = {
    reason: 'task-grant',
    subject: 'task_grant.task',
    ok: cut.task === ask.task,
    expected: show(cut.task),
    actual: show(ask.task),
  };
  if (cut.subject === null) return [task];
  const holder: ReasonedCheck = {
    reason: 'task-grant',
    subject: 'task_grant.subject',
    ok: cut.subject.issuer === issuer && cut.subject.subject === subject,
    expected: show([cut.subject.issuer, cut.subject.subject]),
    actual: show([issuer, subject]),
  };
  return [task, holder];
}

/** What the request gives, what the task grant fixes over it, and the defaults under it. */
function withDefaults(grant: Grant, cut: Cut | null, ask: Ask): Readonly<Record<string, Json>> {
  const values: Record<string, Json> = {};
  for (const [name, rule] of grant.parameters) {
    // Not `??`: null is a value, which no rule accepts, and not the same as absent.
    const given = [own(cut?.parameters, name), own(ask.parameters, name), rule.default];
    const value = given.find((candidate) => candidate !== undefined);
    if (value !== undefined) values[name] = value;
  }
  return values;
}

function checkParameters(
  grant: Grant,
  cut: Cut | null,
  ask: Ask,
  values: Readonly<Record<string, Json>>,
): ReasonedCheck[] {
  const checks: ReasonedCheck[] = [];
  for (const [name, rule] of grant.parameters) {
    const value = own(values, name);
    const fault = value === undefined ? (rule.required ? 'a value' : null) : rule.fault(value);
    const subject = `parameters.${name}`;
    checks.push({
      reason: 'parameter',
      subject,
      ok: fault === null,
      expected:
        fault?.replace(/^expected /, '') ??
        (rule.required ? 'a value that fits' : 'a value that fits, or none'),
      actual: show(value),
    });
    const fixed = own(cut?.parameters, name);
    const given = own(ask.parameters, name);
    if (fixed !== undefined && given !== undefined) {
      const expected = `${show(fixed)}, fixed by the task grant`;
      checks.push({ reason: 'task-grant', subject, ok: given === fixed, expected, actual: show(given) });
    }
  }
  const known = `one of ${[...grant.parameters.keys()].join(', ') || 'none'}`;
  const unknown = (names: string[], reason: ReasonedCheck['reason']) =>
    names
      .filter((name) => !grant.parameters.has(name))
      .slice(0, 20)
      .map((name) => ({ reason, subject: 'parameters', ok: false, expected: known, actual: quote(name) }));
  return [
    ...checks,
    ...unknown(Object.keys(ask.parameters), 'parameter'),
    ...unknown(Object.keys(cut?.parameters ?? {}), 'task-grant'),
  ];
}

function chooseCredentials(
  grant: Grant,
  cut: Cut | null,
  ask: Ask,
): { readonly credentials: readonly CredentialGrant[]; readonly checks: readonly ReasonedCheck[] } {
  const left = cut?.credentials ?? [...grant.credentials.keys()];
  const names = ask.credentials ?? left;
  const credentials: CredentialGrant[] = [];
  const seen = new Set<string>();
  const checks = names.slice(0, 50).map((name): ReasonedCheck => {
    const credential = left.includes(name) ? grant.credentials.get(name) : undefined;
    const fresh = !seen.has(name);
    seen.add(name);
    if (credential !== undefined && fresh) credentials.push(credential);
    return {
      reason:
        cut !== null && grant.credentials.has(name) && credential === undefined ? 'task-grant' : 'credential',
      subject: 'credentials',
      ok: credential !== undefined && fresh,
      expected: `each at most once of ${left.map(quote).join(', ')}`,
      actual: fresh ? quote(name) : `${quote(name)} again`,
    };
  });
  if (names.length === 0 || names.length > checks.length) {
    const expected = 'one to 50 credentials';
    checks.push({
      reason: 'credential',
      subject: 'credentials',
      ok: false,
      expected,
      actual: `${names.length}`,
    });
  }
  return { credentials, checks };
}

function checkTtl({ name, ttl }: CredentialGrant, cut: Cut | null, ask: Ask): ReasonedCheck {
  const { max, asked } = lifetimes(ttl, cut, ask);
  const cutBinds = cut !== null && asked <= ttl.maxSeconds && asked > max;
  return {
    reason: cutBinds || (cut !== null && max < ttl.shortestSeconds) ? 'task-grant' : 'ttl',
    subject: `credentials.${name}.ttl`,
    ok: Number.isSafeInteger(asked) && asked >= ttl.shortestSeconds && asked <= max,
    expected: `${printDuration(ttl.shortestSeconds)} to ${printDuration(max)}`,
    actual: Number.isSafeInteger(asked) && asked >= 0 ? printDuration(asked) : show(asked),
  };
}

/** The most that is allowed, and what is asked: the default, when nothing is, gives way to a task grant. */
function lifetimes(ttl: CredentialGrant['ttl'], cut: Cut | null, ask: Ask) {
  const max = Math.min(ttl.maxSeconds, cut?.maxTtlSeconds ?? ttl.maxSeconds);
  return { max, asked: ask.ttlSeconds ?? Math.min(ttl.defaultSeconds, max) };
}

function scopeOf(credential: CredentialGrant, ask: Ask, parameters: Readonly<Record<string, Json>>) {
  const filled = credential.scopeFor({ task: ask.task, parameters });
  const check: ReasonedCheck = {
    reason: 'scope',
    subject: `credentials.${credential.name}.scope`,
    ok: filled.ok,
    expected: `a scope that ${credential.provider} takes`,
    actual: filled.ok ? 'one' : filled.error.slice(0, 2 * MAX_SHOWN),
  };
  return { credential, check, scope: filled.ok ? filled.value : undefined };
}

function checkConditions(
  grant: Grant,
  ask: Ask,
  parameters: Readonly<Record<string, Json>>,
): ReasonedCheck[] {
  const input = conditionInput(ask.principal, { ...ask, parameters }, ask.now);
  return grant.conditions.map((condition, i) => {
    const { holds, error } = condition.holds(input);
    const actual = error === null ? `${holds}` : `an error: ${error}`;
    return {
      reason: 'condition',
      subject: `conditions[${i}]`,
      ok: holds && error === null,
      expected: `${condition.expression} to be true`,
      actual,
    };
  });
}

function decided(credential: CredentialGrant, scope: Json, cut: Cut | null, ask: Ask): DecidedCredential {
  const { name, target, provider, ttl } = credential;
  const { asked } = lifetimes(ttl, cut, ask);
  // A task grant that shortens the lifetime shortens it for good: renewals do not win back what was cut.
  const capSeconds = Math.min(ttl.capSeconds, cut?.maxTtlSeconds ?? ttl.capSeconds);
  return { name, target, provider, scope, ttlSeconds: asked, capSeconds };
}

function own(values: Readonly<Record<string, Json>> | undefined, name: string): Json | undefined {
  return values !== undefined && Object.hasOwn(values, name) ? values[name] : undefined;
}
