import { ProviderError } from '../../errors.ts';
import { MAX_SESSION_POLICY_CHARS } from './limits.ts';
import { policyChars, sessionPolicy } from './policy.ts';
import { type AwsScope, scopeSchema } from './scope.ts';
import type { AwsSettings } from './settings.ts';

/** Faults of a scope that can be seen without AWS, at load and again before each mint. */
export function refuseScope(raw: unknown, settings: AwsSettings): string[] {
  const read = scopeSchema.safeParse(raw);
  return read.success ? scopeFaults(read.data, settings) : [];
}

function scopeFaults(scope: AwsScope, settings: AwsSettings): string[] {
  const faults: string[] = [];
  const { denial, credentials } = settings;
  if (denial && !denial.roles.includes(scope.role_arn))
    faults.push(
      `role_arn: sessions of ${scope.role_arn} could not be denied: add it to the target's denial.roles`,
    );
  if (credentials.source === 'web_identity' && scope.external_id !== undefined)
    faults.push('external_id: AssumeRoleWithWebIdentity takes none: remove it');
  // With the longest date, so that a scope that loads also fits when its lease is short.
  const chars = policyChars(sessionPolicy(scope, 0), scope.policy_arns);
  if (chars > MAX_SESSION_POLICY_CHARS)
    faults.push(
      `session_policy: ${chars} characters with policy_arns and the dated Deny of short leases, and AWS takes ${MAX_SESSION_POLICY_CHARS}: move what is fixed into a managed policy`,
    );
  return faults;
}

/** Throws what `refuseScope` says: a parameter may have brought it in. */
export function mustBeAllowed(scope: AwsScope, settings: AwsSettings): void {
  const [fault] = scopeFaults(scope, settings);
  if (fault) throw new ProviderError('target-refused', `Cannot assume a role: ${fault}`);
}
