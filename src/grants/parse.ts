import { z } from 'zod';
import { digestJson, type Json } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import { parseApproval } from './approval.ts';
import { parseBreakGlass } from './break-glass.ts';
import { conditionCompiler } from './condition.ts';
import { parseCredential, type TargetInWorld } from './credential.ts';
import { type Fault, type Path, schemaFaults } from './fault.ts';
import type { Condition, CredentialGrant, Grant } from './grant.ts';
import { MAX_TASK_LENGTH } from './limits.ts';
import { type ParsedParameter, parseParameter } from './parameter.ts';
import { type ParsedPattern, parsePatterns } from './pattern.ts';
import { parsePrincipalMatcher } from './principal.ts';
import { parseReasonPatterns } from './reason.ts';
import { configName, credential, grantSchema, principalMatcher, type RawGrant } from './schema.ts';
import type { IssuerInWorld } from './width.ts';

/** What a grant may refer to, by the names in the configuration. */
export interface GrantWorld {
  readonly issuers: ReadonlyMap<string, IssuerInWorld>;
  readonly targets: ReadonlyMap<string, TargetInWorld>;
}

/**
 * Reads, compiles and checks one grant of the configuration. All its faults are reported together, with paths from
 * the grant on. A grant that would let in too many, or whose credentials cannot be bounded, is a fault (invariant 6).
 */
export function parseGrant(name: string, raw: Json, world: GrantWorld): Result<Grant, Fault[]> {
  const faults: Fault[] = [];
  refuseProto(raw, [], faults);
  const read = grantSchema.safeParse(raw);
  if (!read.success) {
    faults.push(...schemaFaults(read.error.issues, grantSchema, raw));
    // What can be read on its own is checked all the same, so that one run shows all faults.
    faults.push(...faultsOfParts(raw, world, faults));
    return err(faults);
  }
  const grant = build(name, versionOf(name, raw), read.data, world, faults);
  return faults.length > 0 ? err(faults) : ok(grant);
}

function build(name: string, version: string, read: RawGrant, world: GrantWorld, faults: Fault[]): Grant {
  const who = read.who.map((matcher, i) => parsePrincipalMatcher(matcher, world.issuers, ['who', i], faults));
  const tasks = parseTasks(read, faults);
  const parameters = parseParameters(read, faults);
  const conditions = parseConditions(read, parameters, faults);
  const credentials = parseCredentials(read, parameters, tasks, world, faults);
  if (read.heartbeat !== undefined && credentials.size > 0) {
    const longest = Math.max(...[...credentials.values()].map(({ ttl }) => ttl.capSeconds));
    if (read.heartbeat >= longest) {
      const message = 'Longer than any credential lives: write less than the longest cap';
      faults.push({ path: ['heartbeat'], message });
    }
  }
  return {
    name,
    version,
    description: read.description ?? null,
    who,
    tasks,
    purpose: mustSayWhy(read) ? 'required' : read.purpose,
    purposePatterns: parseReasonPatterns(read, 'purpose_pattern', faults),
    ticketPatterns: parseReasonPatterns(read, 'ticket_pattern', faults),
    credentials,
    parameters,
    conditions,
    limits: {
      liveLeases: read.limits?.live_leases ?? null,
      issuesPerHour: read.limits?.issues_per_hour ?? null,
    },
    heartbeatSeconds: read.heartbeat ?? null,
    approval: parseApproval(read, parameters, world.issuers, faults),
    breakGlass: parseBreakGlass(read, credentials, world.issuers, faults),
    taskGrants:
      read.task_grants === undefined
        ? null
        : { maxSeconds: read.task_grants.max_age, maxUses: read.task_grants.max_uses },
  };
}

/** Whoever approves or reviews must read why. */
function mustSayWhy({ approval, break_glass: breakGlass, purpose_pattern: pattern }: RawGrant): boolean {
  return approval !== undefined || breakGlass !== undefined || pattern !== undefined;
}

/** All that is written decides, but for what is there for people. */
function versionOf(name: string, raw: Json): string {
  const { description: _, ...decides } = raw as { readonly [key: string]: Json };
  return digestJson({ name, ...decides });
}

/**
 * Task names are chosen by the requester. A pattern that takes any name binds nothing, so it is accepted only beside
 * something that does: a condition or a limit.
 */
function parseTasks(read: RawGrant, faults: Fault[]): ParsedPattern[] {
  const tasks = parsePatterns(read.tasks, ['tasks'], faults);
  for (const { shape } of tasks) {
    if (shape.kind === 'contains' || (shape.kind === 'exact' && typeof shape.value !== 'string'))
      faults.push({ path: ['tasks'], message: 'The name of a task is a string: write strings and globs' });
    if (shape.kind === 'exact' && typeof shape.value === 'string') {
      if (shape.value === '' || shape.value.length > MAX_TASK_LENGTH)
        faults.push({
          path: ['tasks'],
          message: `The name of a task has 1 to ${MAX_TASK_LENGTH} characters`,
        });
    }
  }
  const bound = (read.conditions ?? []).length > 0 || Object.keys(read.limits ?? {}).length > 0;
  if (tasks.some(isAnyTask) && !bound) {
    const message =
      'Too wide: this takes any name, which binds nothing; name the tasks, or add limits or a condition';
    faults.push({ path: ['tasks'], message });
  }
  return tasks;
}

function isAnyTask({ shape }: ParsedPattern): boolean {
  return shape.kind === 'glob' && shape.glob.bare;
}

function parseParameters(read: RawGrant, faults: Fault[]): Map<string, ParsedParameter> {
  const entries = Object.entries(read.parameters ?? {});
  return new Map(
    entries.map(([name, rule]) => [name, parseParameter(name, rule, ['parameters', name], faults)]),
  );
}

function parseConditions(
  read: RawGrant,
  parameters: ReadonlyMap<string, ParsedParameter>,
  faults: Fault[],
): Condition[] {
  const expressions = read.conditions ?? [];
  if (expressions.length === 0) return [];
  const compiler = conditionCompiler(parameters);
  return expressions.flatMap((expression, i) => {
    const condition = compiler.compile(expression);
    if (typeof condition !== 'string') return [condition];
    faults.push({ path: ['conditions', i], message: condition });
    return [];
  });
}

function parseCredentials(
  read: RawGrant,
  parameters: ReadonlyMap<string, ParsedParameter>,
  tasks: readonly ParsedPattern[],
  world: GrantWorld,
  faults: Fault[],
): Map<string, CredentialGrant> {
  const context = { targets: world.targets, parameters, anyTask: tasks.some(isAnyTask) };
  const credentials = new Map<string, CredentialGrant>();
  for (const [name, raw] of Object.entries(read.credentials)) {
    const credential = parseCredential(name, raw, context, faults);
    if (credential !== null) credentials.set(name, credential);
  }
  return credentials;
}

/** A member called `__proto__` is dropped by much that handles objects: a claim of that name would bind nothing. */
function refuseProto(raw: Json, path: Path, faults: Fault[]): void {
  if (raw === null || typeof raw !== 'object') return;
  for (const [name, member] of Object.entries(raw)) {
    const at = [...path, Array.isArray(raw) ? Number(name) : name];
    if (name === '__proto__')
      faults.push({ path: at, message: 'Cannot use "__proto__" as a name: rename it' });
    refuseProto(member, at, faults);
  }
}

/** A grant with parts left out. */
const parts = z.object({
  ...grantSchema.shape,
  who: z.array(principalMatcher).default([]),
  tasks: grantSchema.shape.tasks.default('any'),
  credentials: z.record(configName, credential).default({}),
});

/**
 * For a grant that does not fit the schema: what is wrong in those of its parts that do, so that one run shows all.
 * A part that leans on a broken one is left out, lest it be blamed for it.
 */
function faultsOfParts(raw: Json, world: GrantWorld, known: readonly Fault[]): Fault[] {
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw)) return [];
  const broken = (...path: Path) => known.some((fault) => path.every((step, i) => fault.path[i] === step));
  const sound = Object.entries(raw).filter(([part]) => part === 'credentials' || !broken(part));
  const rest: Record<string, unknown> = Object.fromEntries(sound);
  const credentials = Object.entries(rest.credentials ?? {}).filter(([name]) => !broken('credentials', name));
  rest.credentials = Object.fromEntries(credentials);
  if (broken('parameters')) {
    delete rest.conditions;
    delete rest.approval;
    delete rest.credentials;
  }
  if (broken('limits') || broken('conditions')) rest.limits = { live_leases: 1 };
  const read = parts.safeParse(rest);
  const faults: Fault[] = [];
  if (read.success) build('', '', read.data, world, faults);
  return faults;
}
