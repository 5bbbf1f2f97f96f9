import type { Json } from '../../json.ts';
import type { AwsScope, Statement } from './scope.ts';

type Narrowing = Pick<AwsScope, 'session_policy' | 'policy_arns'>;

/**
 * The inline session policy, or none where the grant has none and the session needs no date. With `deadAt` every
 * request from that instant on is denied, whatever else allows it.
 *
 * A session may do what its role may *and* any of its session policies allow. Where there are none, the date needs an
 * Allow of everything beside it, which narrows nothing; where managed policies are given, such an Allow would undo
 * them, so the date stands alone.
 */
export function sessionPolicy(scope: Narrowing, deadAt: number | null): string | undefined {
  const written = scope.session_policy;
  const own: readonly Statement[] =
    written === undefined ? [] : Array.isArray(written) ? written : [documentStatements(written)].flat();
  if (deadAt === null && own.length === 0) return undefined;
  const allow: Json[] =
    own.length === 0 && scope.policy_arns.length === 0
      ? [{ Effect: 'Allow', Action: '*', Resource: '*' }]
      : [];
  const dated: Json[] = deadAt === null ? [] : [denyFrom(deadAt)];
  return policyText([...allow, ...(own as readonly Json[]), ...dated]);
}

function documentStatements(document: Exclude<AwsScope['session_policy'], undefined | readonly unknown[]>) {
  return (document as { readonly Statement: Statement | Statement[] }).Statement;
}

function denyFrom(instant: number): Json {
  return {
    Effect: 'Deny',
    Action: '*',
    Resource: '*',
    Condition: { DateGreaterThanEquals: { 'aws:CurrentTime': isoSeconds(instant) } },
  };
}

export function policyText(statements: readonly Json[]): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: statements });
}

/** What AWS counts: the inline policy and the ARNs of managed ones. */
export function policyChars(policy: string | undefined, arns: readonly string[]): number {
  return [policy ?? '', ...arns].reduce((sum, text) => sum + text.length, 0);
}

/** An instant as policies write it, to the second that has begun. */
export function isoSeconds(instant: number): string {
  return `${new Date(instant).toISOString().slice(0, 19)}Z`;
}
