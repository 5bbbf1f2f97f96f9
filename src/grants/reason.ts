import { type ReasonedCheck, show } from './check.ts';
import { type Fault, quote } from './fault.ts';
import { parseGlob } from './glob.ts';
import type { Ask, Grant, Pattern } from './grant.ts';
import { MAX_PURPOSE_LENGTH, MAX_TICKET_LENGTH } from './limits.ts';
import { isPlainText } from './parameter.ts';
import type { RawGrant } from './schema.ts';

/** Why a task is opened, as whoever opens it says: a purpose in words, and a ticket by its name. */

/**
 * The name of a ticket, or an address of one without a query. No space, quote, bracket or ampersand, and no beginning
 * that a spreadsheet would calculate: it is shown in places that each have other characters to be afraid of.
 */
const TICKET = /^[A-Za-z0-9#][A-Za-z0-9#._:/~+-]*$/;

/** Reads `purpose_pattern` or `ticket_pattern`: null when any will do. */
export function parseReasonPatterns(
  read: RawGrant,
  name: 'purpose_pattern' | 'ticket_pattern',
  faults: Fault[],
): readonly Pattern[] | null {
  const raw = read[name];
  if (raw === undefined) return null;
  return [raw].flat().flatMap((text, i) => {
    const path = Array.isArray(raw) ? [name, i] : [name];
    const glob = parseGlob(text);
    const fault =
      typeof glob === 'string'
        ? glob
        : glob.bare
          ? 'Takes anything, which demands nothing: write what it must look like, or purpose: required'
          : null;
    if (fault !== null) faults.push({ path, message: fault });
    if (typeof glob === 'string') return [];
    return [
      {
        text: quote(glob.text),
        matches: (value) => typeof value === 'string' && glob.matches(value),
      } satisfies Pattern,
    ];
  });
}

export function checkPurpose(grant: Grant, { purpose }: Ask): ReasonedCheck {
  const given = purpose !== null && purpose.trim() !== '';
  const fits =
    purpose === null ||
    (purpose.length <= MAX_PURPOSE_LENGTH && isPlainText(purpose.replace(/[\t\n\r]/g, ' ')));
  const { purposePatterns: patterns } = grant;
  const asDemanded = patterns === null || (given && patterns.some((pattern) => pattern.matches(purpose)));
  return {
    reason: 'purpose',
    subject: 'purpose',
    ok: fits && asDemanded && (given || grant.purpose === 'optional'),
    expected: `${grant.purpose === 'required' ? 'a purpose' : 'a purpose or none'} of at most ${MAX_PURPOSE_LENGTH} characters without control characters${like(patterns)}`,
    actual: show(purpose ?? undefined),
  };
}

export function checkTicket({ ticketPatterns: patterns }: Grant, { ticket }: Ask): ReasonedCheck {
  const fits = ticket === null || (ticket.length <= MAX_TICKET_LENGTH && TICKET.test(ticket));
  const asDemanded = patterns === null || patterns.some((pattern) => pattern.matches(ticket ?? undefined));
  return {
    reason: 'ticket',
    subject: 'ticket',
    ok: fits && asDemanded,
    expected: `${patterns === null ? 'a ticket or none' : 'a ticket'} of at most ${MAX_TICKET_LENGTH} letters, digits and "#._:/~+-"${like(patterns)}`,
    actual: show(ticket ?? undefined),
  };
}

function like(patterns: readonly Pattern[] | null): string {
  return patterns === null ? '' : `, like ${patterns.map(({ text }) => text).join(' or ')}`;
}
