import { createHash } from 'node:crypto';
import { ProviderError } from '../../errors.ts';
import { sha256 } from '../../json.ts';
import type { Terms } from '../provider.ts';
import {
  LONGEST_CHAINED_SECONDS,
  LONGEST_SESSION_SECONDS,
  MAX_SESSION_POLICY_CHARS,
  SHORTEST_SESSION_SECONDS,
} from './limits.ts';
import { policyChars, sessionPolicy } from './policy.ts';
import { type AwsScope, fitsTag } from './scope.ts';
import { type AwsSettings, isChained } from './settings.ts';

/** One session as STS will be asked for it. */
export interface SessionPlan {
  readonly roleArn: string;
  /** Session name and source identity: from CloudTrail to the lease. */
  readonly name: string;
  readonly sourceIdentity: string | undefined;
  readonly durationSeconds: number;
  readonly policy: string | undefined;
  readonly policyArns: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
  readonly transitiveTags: readonly string[];
  readonly externalId: string | undefined;
  /** From when on the session's own policy denies everything; null when it lapses in time by its duration. */
  readonly deadAt: number | null;
}

/**
 * Plans a session that is of no use from `terms.expiresAt` on. STS knows durations from 900 s up, counted from its
 * answer; where that cannot be exact or is too long, a dated Deny in the session's policy ends it. Throws
 * ProviderError when it does not fit: nothing that restricts is ever left out.
 */
export function planSession(
  settings: AwsSettings,
  scope: AwsScope,
  terms: Pick<Terms, 'name' | 'expiresAt' | 'mintBefore' | 'context'>,
  now: number,
): SessionPlan {
  if (now > terms.mintBefore || now >= terms.expiresAt) throw refused('the time to mint it has passed');
  const longest = isChained(settings) ? LONGEST_CHAINED_SECONDS : LONGEST_SESSION_SECONDS;
  // Counted from the last moment at which STS may answer, so that it cannot last longer than the lease.
  const wanted = Math.floor((terms.expiresAt - terms.mintBefore) / 1000);
  const seconds = Math.min(wanted, longest, scope.duration_seconds ?? longest);
  // A console session can outlast the credentials that it was made from: only a date ends both.
  const isDated = seconds < SHORTEST_SESSION_SECONDS || scope.console !== undefined;
  const deadAt = isDated ? Math.floor(terms.expiresAt / 1000) * 1000 : null;
  const policy = sessionPolicy(scope, deadAt);
  const chars = policyChars(policy, scope.policy_arns);
  if (chars > MAX_SESSION_POLICY_CHARS)
    throw refused(`its policies have ${chars} characters, and AWS takes ${MAX_SESSION_POLICY_CHARS}`);
  const name = sessionName(terms.name);
  return {
    roleArn: scope.role_arn,
    name,
    sourceIdentity: settings.without_source_identity ? undefined : name,
    durationSeconds: Math.max(seconds, SHORTEST_SESSION_SECONDS),
    policy,
    policyArns: scope.policy_arns,
    tags: { ...scope.tags, ...contextTags(settings, terms.context) },
    transitiveTags: scope.transitive_tags,
    externalId: scope.external_id,
    deadAt,
  };
}

function refused(why: string): ProviderError {
  return new ProviderError('target-refused', `Cannot assume a role: ${why}`);
}

/**
 * A name that STS takes as session name and as source identity: 2 to 64 characters of `[\w+=,.@-]`. A lease's own name
 * is one; any other is replaced by its digest, which no lease's name looks like and no two names share.
 */
export function sessionName(name: string): string {
  if (/^[\w+=,.@-]{2,64}$/.test(name) && !name.startsWith('hp-')) return name;
  return `hp-${createHash('sha256').update(name).digest('base64url')}`;
}

function contextTags(settings: AwsSettings, context: Terms['context']): Record<string, string> {
  const values = {
    task: context.task,
    grant: context.grant,
    subject: context.subject,
  };
  return Object.fromEntries(settings.context_tags.map((key) => [`hallpass:${key}`, tagValue(values[key])]));
}

/** Text from outside as a tag's value: as it is, or as its digest where tags cannot hold it. Two texts are never one value. */
export function tagValue(text: string): string {
  if (fitsTag(text) && !text.startsWith('sha256:')) return text;
  return `sha256:${sha256(Buffer.from(text, 'utf16le'))}`;
}
