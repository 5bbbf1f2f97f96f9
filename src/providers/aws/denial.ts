import type { Handle } from './handle.ts';
import { isoSeconds, policyText } from './policy.ts';

/**
 * A policy on a role that denies one session, or all that began before an instant. It is named for its lease and for
 * when it can go, so that whoever lists a role's policies knows what is ours and what has lapsed.
 */
export interface Denial {
  readonly policyName: string;
  /** When the last session that it denies has lapsed. Milliseconds since the epoch. */
  readonly until: number;
}

export function denialName(name: string, until: number): string {
  const stamp = isoSeconds(Math.ceil(until / 1000) * 1000).replaceAll(/[-:]/g, '');
  return `${name}-until-${stamp}`;
}

const NAME = /^.+-until-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;

/** The denial of this name; null for a policy that is not ours. */
export function readDenial(policyName: string, mark: string): Denial | null {
  if (!policyName.startsWith(mark)) return null;
  const [year, month, day, hour, minute, second] = NAME.exec(policyName)?.slice(1).map(Number) ?? [];
  const until = Date.UTC(year ?? Number.NaN, (month ?? 0) - 1, day, hour, minute, second);
  return Number.isNaN(until) ? null : { policyName, until };
}

/**
 * Denies everything to one session. By source identity it also covers the sessions that it makes of the same role,
 * for that stays when a role assumes a role; by user id it covers the session of that name.
 */
export function sessionDenial({ session, deny_by }: Pick<Handle, 'session' | 'deny_by'>): string {
  return denyAll(
    deny_by === 'source-identity'
      ? { StringEquals: { 'aws:SourceIdentity': session } }
      : { StringLike: { 'aws:userid': `*:${session}` } },
  );
}

/** Denies everything to every session that began before an instant (IAM user guide, "Revoke role sessions"). */
export function roleWideDenial(before: number): string {
  return denyAll({ DateLessThan: { 'aws:TokenIssueTime': isoSeconds(before) } });
}

function denyAll(Condition: Readonly<Record<string, Readonly<Record<string, string>>>>): string {
  return policyText([{ Effect: 'Deny', Action: '*', Resource: '*', Condition }]);
}
