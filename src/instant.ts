/** Instants whose text is remembered at once: those of a second's work. */
const REMEMBERED = 4_096;

const texts = new Map<number, string>();

/**
 * RFC 3339 in UTC with milliseconds, as events, rows and the API write instants, from milliseconds since the epoch.
 * Throws a RangeError where there is no such instant. One request writes the same few again and again, so the text of
 * each is made once.
 */
export function instant(ms: number): string {
  const known = texts.get(ms);
  if (known !== undefined) return known;
  if (texts.size === REMEMBERED) texts.clear();
  const text = new Date(ms).toISOString();
  texts.set(ms, text);
  return text;
}

export function instantOrNull(ms: number | null): string | null {
  return ms === null ? null : instant(ms);
}
