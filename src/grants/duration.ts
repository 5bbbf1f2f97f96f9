import { z } from 'zod';
import { parseDuration, printDuration } from '../duration.ts';

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
