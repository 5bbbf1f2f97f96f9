import {
  DeleteRolePolicyCommand,
  ListRolePoliciesCommand,
  type ListRolePoliciesCommandOutput,
  PutRolePolicyCommand,
} from '@aws-sdk/client-iam';
import { ProviderError } from '../../errors.ts';
import { instant } from '../../instant.ts';
import type { Json } from '../../json.ts';
import type { Ended, Ending } from '../provider.ts';
import { parseRoleArn } from './arn.ts';
import type { AwsContext } from './clients.ts';
import { type Denial, denialName, readDenial, roleWideDenial, sessionDenial } from './denial.ts';
import { awsName, providerError } from './errors.ts';
import { type Handle, readHandle } from './handle.ts';
import { CLOCK_TOLERANCE_MS, COLLECT_AFTER_MS, LONGEST_SESSION_SECONDS } from './limits.ts';
import { isoSeconds } from './policy.ts';
import { sessionName } from './session.ts';
import type { Denial as DenialSettings } from './settings.ts';

/** A target that may write denials. */
export interface EndContext extends AwsContext {
  readonly denial: DenialSettings;
}

/**
 * Denies a session by an inline policy of its role.
 *
 * IAM has no compare-and-swap and its reads lag, so no document is ever read, changed and written back: each denial is
 * a policy of its own, whose name and content follow from the lease. Any number of replicas write the same or
 * different ones, in any order, and lose nothing.
 */
export async function end(context: EndContext, ending: Ending, signal: AbortSignal): Promise<Ended> {
  const { target, denial } = context;
  const now = target.runtime.now();
  if (now >= ending.expiresAt) {
    // By our clock, which may be ahead: the broker waits until it is so by any.
    const lapsesAt = ending.expiresAt;
    return { found: false, lapsed: true, lapsesAt, evidence: { lapsed_at: instant(lapsesAt) } };
  }
  const handle = readHandle(ending.handle);
  // When minting never answered, its role is one of those that grants may name.
  const roles = handle ? [handle.role_arn] : denial.roles;
  const denied = await Promise.all(
    roles.map((role) => deny(context, role, handle ?? unanswered(context, ending, role), ending, signal)),
  );
  return {
    found: denied.some(({ found }) => found),
    evidence: {
      denied: denied.map(({ evidence }) => evidence),
      propagation: 'IAM: changes may take a few minutes to be in force everywhere',
    },
    // From when it was written: the SDK may have asked several times.
    effectiveAt: Math.min(target.runtime.now() + denial.propagation_seconds * 1000, ending.expiresAt),
  };
}

function unanswered({ settings }: EndContext, { name }: Ending, role: string): Handle {
  return {
    role_arn: role,
    session: sessionName(name),
    deny_by: settings.without_source_identity ? 'user-id' : 'source-identity',
  };
}

interface Denied {
  readonly found: boolean;
  readonly evidence: Json;
}

async function deny(
  context: EndContext,
  roleArn: string,
  handle: Handle,
  ending: Ending,
  signal: AbortSignal,
): Promise<Denied> {
  const role = parseRoleArn(roleArn).name;
  const policyName = denialName(handle.session, ending.expiresAt);
  const evidence = { role: roleArn, policy: policyName, by: handle.deny_by };
  const document = sessionDenial(handle);
  const standing = await denialsOf(context, role, signal);
  if (standing.some((one) => one.policyName === policyName)) return { found: false, evidence };
  const full = standing.length >= context.denial.max_denials;
  if (!full && (await put(context, role, policyName, document, signal))) return { found: true, evidence };
  const left = await collectFrom(context, role, standing, signal);
  const hasRoom = left.length < context.denial.max_denials;
  if (hasRoom && (await put(context, role, policyName, document, signal))) return { found: true, evidence };
  return denyAllSessions(context, role, { ...evidence, policy: null }, left, signal);
}

/** What is left when a role can bear no more denials: the answer that the operator chose. */
async function denyAllSessions(
  context: EndContext,
  role: string,
  evidence: Readonly<Record<string, Json>>,
  standing: readonly Denial[],
  signal: AbortSignal,
): Promise<Denied> {
  if (context.denial.when_full === 'fail')
    throw new ProviderError(
      'target-refused',
      `Cannot deny a session: the inline policies of the role "${role}" are full with ${standing.length} denials: wait until their sessions have lapsed, shorten TTLs, or allow deny_all_sessions`,
      { vendorCode: 'LimitExceeded' },
    );
  // Every session that a standing denial is about began before it was listed. The margin is for clocks that differ.
  const before = context.target.runtime.now() + CLOCK_TOLERANCE_MS;
  const policyName = denialName(`${context.target.mark}all`, before + LONGEST_SESSION_SECONDS * 1000);
  if (!(await put(context, role, policyName, roleWideDenial(before), signal)))
    throw new ProviderError(
      'target-refused',
      `Cannot deny the sessions of the role "${role}": its inline policies have no room left: make some`,
      { vendorCode: 'LimitExceeded' },
    );
  // From here on the denials of single sessions are covered: their room is free for those to come.
  await removeAll(context, role, standing, signal);
  return {
    found: true,
    evidence: {
      ...evidence,
      policy: policyName,
      by: 'token-issue-time',
      all_sessions_before: isoSeconds(before),
    },
  };
}

/** Removes what denied sessions left behind on every role, once they have lapsed. */
export async function tidy(context: EndContext, signal: AbortSignal): Promise<void> {
  for (const roleArn of context.denial.roles) {
    const role = parseRoleArn(roleArn).name;
    await collectFrom(context, role, await denialsOf(context, role, signal), signal);
  }
}

/** Removes those of the denials whose sessions have lapsed; answers the others. */
async function collectFrom(
  context: EndContext,
  role: string,
  standing: readonly Denial[],
  signal: AbortSignal,
): Promise<Denial[]> {
  const now = context.target.runtime.now();
  const hasLapsed = ({ until }: Denial) => until + COLLECT_AFTER_MS <= now;
  await removeAll(context, role, standing.filter(hasLapsed), signal);
  return standing.filter((denial) => !hasLapsed(denial));
}

/** Our denials on a role. */
export async function denialsOf(
  { clients, target }: EndContext,
  role: string,
  signal: AbortSignal,
): Promise<Denial[]> {
  const denials: Denial[] = [];
  let page: ListRolePoliciesCommandOutput | undefined;
  do {
    const command = new ListRolePoliciesCommand({
      RoleName: role,
      ...(page?.Marker === undefined ? {} : { Marker: page.Marker }),
    });
    page = await call('list the policies of a role', signal, () =>
      clients.iam.send(command, { abortSignal: signal }),
    );
    for (const name of page.PolicyNames ?? []) {
      const denial = readDenial(name, target.mark);
      if (denial) denials.push(denial);
    }
  } while (page.IsTruncated);
  return denials;
}

/** Writes a denial; false where the role has no room for it. Writing it again changes nothing. */
export async function put(
  { clients }: EndContext,
  role: string,
  policyName: string,
  document: string,
  signal: AbortSignal,
): Promise<boolean> {
  const command = new PutRolePolicyCommand({
    RoleName: role,
    PolicyName: policyName,
    PolicyDocument: document,
  });
  try {
    await call('deny a session', signal, () => clients.iam.send(command, { abortSignal: signal }));
    return true;
  } catch (error) {
    if (awsName(error) === 'LimitExceeded') return false;
    throw error;
  }
}

export async function removeAll(
  { clients }: EndContext,
  role: string,
  denials: readonly Pick<Denial, 'policyName'>[],
  signal: AbortSignal,
): Promise<void> {
  for (const { policyName } of denials) {
    const command = new DeleteRolePolicyCommand({ RoleName: role, PolicyName: policyName });
    try {
      await call('remove a denial', signal, () => clients.iam.send(command, { abortSignal: signal }));
    } catch (error) {
      // Another replica was here before.
      if (awsName(error) !== 'NoSuchEntity') throw error;
    }
  }
}

async function call<T>(doing: string, signal: AbortSignal, send: () => Promise<T>): Promise<T> {
  try {
    return await send();
  } catch (error) {
    throw providerError(doing, error, signal);
  }
}
