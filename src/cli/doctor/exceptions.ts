import { parse } from 'yaml';
import { z } from 'zod';
import { UsageError } from '../failure.ts';
import type { Finding } from './finding.ts';

/** One finding that is let through for a while, and who answers for it. */
export interface Exception {
  readonly rule: string;
  readonly place: string;
  readonly owner: string;
  readonly reason: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** An exception for everything, or for ever, is a policy nobody decided. */
const LONGEST_DAYS = 365;

const plain = z
  .string()
  .min(1)
  .max(500)
  .refine((text) => !/[*?[\]{}]/.test(text), 'names one thing: no wildcards');
const schema = z.strictObject({
  exceptions: z
    .array(
      z.strictObject({
        rule: plain,
        place: plain,
        owner: z.string().trim().min(1).max(200),
        reason: z.string().trim().min(10, 'says why, in ten characters or more').max(1000),
        expires: z.iso.date(),
      }),
    )
    .max(1000),
});

/** Reads an exceptions file whole, or refuses it whole. */
export function readExceptions(text: string, file: string, now: number): Exception[] {
  let raw: unknown;
  try {
    raw = parse(text, { schema: 'core' });
  } catch {
    throw new UsageError(`Cannot read ${file}: it is no YAML`);
  }
  const read = schema.safeParse(raw);
  if (!read.success) {
    const faults = read.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
    throw new UsageError(`Cannot use ${file}: ${faults.join('; ')}`);
  }
  return read.data.exceptions.map(({ expires, ...rest }, at) => {
    // To the end of that day.
    const expiresAt = Date.parse(`${expires}T00:00:00Z`) + DAY_MS;
    if (expiresAt > now + LONGEST_DAYS * DAY_MS)
      throw new UsageError(
        `Cannot use ${file}: exceptions.${at}.expires: at most ${LONGEST_DAYS} days from now`,
      );
    return { ...rest, expiresAt };
  });
}

const DAY_MS = 86_400_000;

/** The live exception for a finding. Its line may move: the place is compared without it where the exception names none. */
export function exceptionFor(
  finding: Finding,
  exceptions: readonly Exception[],
  now: number,
): Exception | null {
  const places = new Set([finding.place, finding.place.replace(/:\d+$/, '')]);
  return (
    exceptions.find(
      ({ rule, place, expiresAt }) => rule === finding.rule && places.has(place) && now < expiresAt,
    ) ?? null
  );
}
