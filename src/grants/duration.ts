import { z } from 'zod';

const UNITS = { d: 86_400, h: 3600, m: 60, s: 1 } as const;
const DURATION = /^(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?$/;

/** Whole seconds of `7d`, `1h30m`, `45s`: units from large to small, each at most once. Null when it is none. */
export function parseDuration(text: string): number | null {
  const match = DURATION.exec(text);
  if (match === null || text === '') return null;
  const [, d = '0', h = '0', m = '0', s = '0'] = match;
  return Number(d) * UNITS.d + Number(h) * UNITS.h + Number(m) * UNITS.m + Number(s) * UNITS.s;
}

/** The shortest text that `parseDuration` reads as these seconds. */
export function printDuration(seconds: number): string {
  if (seconds === 0) return '0s';
  let rest = seconds;
  let text = '';
  for (const [unit, size] of Object.entries(UNITS)) {
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text;
}

/** A duration in the configuration, read as seconds. A bare number is refused: nobody can see its unit. */
export function duration(bounds: { readonly min?: number; readonly max?: number } = {}) {
  const { min = 1, max = Number.MAX_SAFE_INTEGER } = bounds;
  return z
    .string({
      error: ({ input }) =>
        typeof input === 'number'
          ? `A duration needs its unit: write ${input}s, ${input}m or ${input}h`
          : undefined,
    })
    .transform((text, context) => {
      const seconds = parseDuration(text);
      const message =
        seconds === null
          ? 'Cannot read this duration: write it like 45s, 15m, 1h30m or 7d'
          : seconds < min
            ? `Too short: write ${printDuration(min)} or more`
            : seconds > max
              ? `Too long: write ${printDuration(max)} or less`
              : null;
      if (message !== null) context.addIssue({ code: 'custom', message });
      return seconds ?? 0;
    })
    .meta({ typeName: 'duration' });
}
