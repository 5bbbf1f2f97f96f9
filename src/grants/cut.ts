import { z } from 'zod';
import { printDuration } from '../duration.ts';
import type { Json } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import { quote, suggest } from './fault.ts';
import type { CredentialGrant, Cut, Grant, PolicyRefusal } from './grant.ts';

/** What an orchestrator wishes to cut from a grant, for one run. */
export interface CutWish extends Cut {
  readonly expiresInSeconds: number;
  readonly uses: number;
}

/** A task grant as it may be made. */
export interface TaskGrantTerms {
  readonly cut: Cut;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly uses: number;
}

/**
 * Cuts a task grant from a grant that allows it, never wider than the grant: what lies outside is refused, never
 * trimmed. Using it runs the grant's own checks again, so a grant that has since become narrower binds it too.
 */
export function cutGrant(grant: Grant, wish: CutWish, now: number): Result<TaskGrantTerms, PolicyRefusal> {
  const faults = [
    ...boundFaults(grant, wish),
    ...parameterFaults(grant, wish),
    ...credentialFaults(grant, wish),
    ...subjectFaults(grant, wish),
  ];
  if (!grant.tasks.some((pattern) => pattern.matches(wish.task)))
    faults.unshift(`task: the grant does not cover ${quote(wish.task)}`);
  if (faults.length > 0) return err({ reason: 'task-grant', detail: faults.join('; ') });
  const { task, parameters, credentials, maxTtlSeconds, subject } = wish;
  return ok({
    cut: { task, parameters, credentials, maxTtlSeconds, subject },
    expiresAt: now + wish.expiresInSeconds * 1000,
    uses: wish.uses,
  });
}

function boundFaults(grant: Grant, wish: CutWish): string[] {
  if (grant.taskGrants === null) return ['the grant allows no task grants'];
  const { maxSeconds, maxUses } = grant.taskGrants;
  const faults: string[] = [];
  if (!isWithin(wish.expiresInSeconds, maxSeconds))
    faults.push(`expires_in: ask for 1s to ${printDuration(maxSeconds)}`);
  if (!isWithin(wish.uses, maxUses)) faults.push(`uses: ask for 1 to ${maxUses}`);
  return faults;
}

function isWithin(value: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= 1 && value <= max;
}

function parameterFaults(grant: Grant, wish: CutWish): string[] {
  return Object.entries(wish.parameters).flatMap(([name, value]) => {
    const rule = grant.parameters.get(name);
    if (rule === undefined)
      return [`parameters: unknown ${quote(name)}: ${suggest(name, grant.parameters.keys())}`];
    const fault = rule.fault(value);
    return fault === null ? [] : [`parameters.${name}: ${fault}`];
  });
}

function credentialFaults(grant: Grant, wish: CutWish): string[] {
  const names = wish.credentials ?? [...grant.credentials.keys()];
  const faults: string[] = [];
  const chosen: CredentialGrant[] = [];
  for (const name of names) {
    const credential = grant.credentials.get(name);
    if (credential === undefined)
      faults.push(`credentials: unknown ${quote(name)}: ${suggest(name, grant.credentials.keys())}`);
    else if (chosen.includes(credential)) faults.push(`credentials: ${quote(name)} is there twice`);
    else chosen.push(credential);
  }
  if (names.length === 0) faults.push('credentials: name one at least');
  if (wish.maxTtlSeconds === null || chosen.length === 0) return faults;
  const shortest = Math.max(...chosen.map(({ ttl }) => ttl.shortestSeconds));
  const longest = Math.max(...chosen.map(({ ttl }) => ttl.maxSeconds));
  const fits =
    Number.isSafeInteger(wish.maxTtlSeconds) &&
    wish.maxTtlSeconds >= shortest &&
    wish.maxTtlSeconds <= longest;
  if (!fits) faults.push(`max_ttl: ask for ${printDuration(shortest)} to ${printDuration(longest)}`);
  return faults;
}

/** A subject of an issuer that the grant does not know could never use it. */
function subjectFaults(grant: Grant, { subject }: CutWish): string[] {
  if (subject === null) return [];
  const issuers = new Set(grant.who.map((matcher) => matcher.issuer));
  return issuers.has(subject.issuer)
    ? []
    : [
        `subject: the grant does not let in the issuer ${quote(subject.issuer)}: ${suggest(subject.issuer, issuers)}`,
      ];
}

const cutSchema: z.ZodType<Cut> = z.strictObject({
  task: z.string(),
  parameters: z.record(z.string(), z.json()),
  credentials: z.array(z.string()).nullable(),
  maxTtlSeconds: z.int().nullable(),
  subject: z.strictObject({ issuer: z.string(), subject: z.string() }).nullable(),
});

/** A cut as it comes back from the store; null, which must deny, when it cannot be understood. */
export function readCut(stored: Json): Cut | null {
  return cutSchema.safeParse(stored).data ?? null;
}
