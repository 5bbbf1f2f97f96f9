import type { ClaimPin, ClaimRules } from '../identity/attestor.ts';
import { quote } from './fault.ts';
import type { ClaimRule } from './grant.ts';
import type { ParsedPattern } from './pattern.ts';

type Rule = Pick<ClaimRule, 'path'> & { readonly accepts: readonly ParsedPattern[] };

/** What a matcher accepts for each claim that it names. */
type Accepted = ReadonlyMap<string, readonly ParsedPattern[]>;

/** What a matcher lacks or may not rely on, by what is known of its issuer. Each fault says what to write. */
export function pinningFaults(rules: readonly Rule[], known: ClaimRules): string[] {
  const accepted: Accepted = new Map(rules.map(({ path, accepts }) => [nameOf(path), accepts]));
  const isPinned = (claim: string): boolean => accepted.get(claim)?.every(isExact) ?? false;
  return [
    ...known.pins.flatMap((pin) => pinFault(pin, accepted, isPinned)),
    ...known.beside
      .filter(({ claim, needs }) => accepted.has(claim) && !needs.some(isPinned))
      .map(
        ({ claim, needs, because }) => `Too wide: ${because}; beside ${quote(claim)} pin ${either(needs)}`,
      ),
    ...known.never.flatMap(({ claim, values, because }) =>
      values
        .filter((value) => accepted.get(claim)?.some((pattern) => pattern.matches(value)))
        .map(
          (value) => `Cannot accept ${JSON.stringify(value)} in ${quote(claim)}: ${because}; leave it out`,
        ),
    ),
    ...known.forms
      .filter(({ claim, pattern }) => !(accepted.get(claim) ?? []).every((one) => hasForm(one, pattern)))
      .map(({ claim, because }) => `Cannot use ${quote(claim)} like this: ${because}`),
    ...rules.flatMap((rule) => unreliableFault(nameOf(rule.path), known)),
    ...known.strings
      .filter((claim) => accepted.get(claim)?.some(isNoString))
      .map((claim) => `${quote(claim)} is a string in every token: put its value in quotes`),
  ];
}

function pinFault(
  { anyOf, form, because }: ClaimPin,
  accepted: Accepted,
  isPinned: (claim: string) => boolean,
): string[] {
  if (anyOf.some((claims) => claims.every(isPinned))) return [];
  const formed = form && accepted.get(form.claim);
  if (formed?.every((pattern) => hasForm(pattern, form?.pattern ?? /$^/))) return [];
  const ways = anyOf.map((claims) => claims.map(quote).join(' and '));
  return [`Too wide: ${because}; pin ${ways.join(', or ')} by exact values`];
}

function unreliableFault(name: string, { unreliable }: ClaimRules): string[] {
  const [claim, because] =
    Object.entries(unreliable).find(([known]) => name === known || name.startsWith(`${known}/`)) ?? [];
  return claim === undefined ? [] : [`Cannot rely on ${quote(claim)}: ${because}`];
}

/** A claim's path as a grant writes it, in the one spelling that `ClaimRules` use. */
function nameOf(path: readonly string[]): string {
  return path.map((step) => step.replaceAll('~', '~0').replaceAll('/', '~1')).join('/');
}

function isExact({ shape }: ParsedPattern): boolean {
  return shape.kind === 'contains' ? isExact(shape.inner) : shape.kind === 'exact';
}

function isNoString({ shape }: ParsedPattern): boolean {
  return shape.kind === 'exact' && typeof shape.value !== 'string';
}

/** Whether what every match begins with has the form. */
function hasForm({ shape }: ParsedPattern, form: RegExp): boolean {
  if (shape.kind === 'contains') return hasForm(shape.inner, form);
  return form.test(shape.kind === 'glob' ? shape.glob.prefix : String(shape.value));
}

function either(claims: readonly string[]): string {
  return claims.map(quote).join(' or ');
}
