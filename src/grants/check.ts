import type { Json } from '../json.ts';
import { quote } from './fault.ts';
import type { Check, PolicyRefusal } from './grant.ts';
import { MAX_SHOWN } from './limits.ts';

/** A check with the reason that it gives for a refusal. */
export interface ReasonedCheck extends Check {
  readonly reason: PolicyRefusal['reason'];
  /** The claim that was looked at, by its name or path, with its value. */
  readonly claim?: NonNullable<PolicyRefusal['claim']>;
}

/** A value as an explanation shows it: JSON, so that `"1"` and `1` differ, and bounded. */
export function show(value: Json | undefined): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return quote(value);
  const text = JSON.stringify(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
