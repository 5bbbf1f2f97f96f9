import type { Templating } from '../provider.ts';

/**
 * How parameters enter a scope. In a policy `*` and `?` match anything and `${...}` is a variable (IAM JSON policy
 * reference, "Resource" and "Policy variables"): no filter lets them through, so that a value stands for itself alone.
 */
export const templating: Templating = {
  filters: { plain, segment },
  defaultFilter: ([first]) => (first === 'session_policy' || first === 'tags' ? 'plain' : 'segment'),
};

/** Text that means itself. Empty text is none: `reports/{{ x }}*` would become everything under reports. */
function plain(value: string): string {
  if (value === '') throw new RangeError('it is empty');
  if (/[*?$]/.test(value)) throw new RangeError('it holds *, ? or $, which policies read as patterns');
  if (/[\p{Cc}\p{Cs}\u2028\u2029]/u.test(value)) throw new RangeError('it holds a control character');
  return value;
}

/** One step of a path or an ARN. */
function segment(value: string): string {
  if (/[/:]/.test(value)) throw new RangeError('it holds / or :, which lead elsewhere');
  if (value === '.' || value === '..') throw new RangeError('it is a step to elsewhere');
  return plain(value);
}
