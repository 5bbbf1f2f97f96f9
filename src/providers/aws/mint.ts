import {
  AssumeRoleCommand,
  type AssumeRoleCommandInput,
  type AssumeRoleCommandOutput,
  AssumeRoleWithWebIdentityCommand,
} from '@aws-sdk/client-sts';
import { afterEffect, mayHaveTakenEffect, ProviderError } from '../../errors.ts';
import { instant } from '../../instant.ts';
import type { Json } from '../../json.ts';
import type { Minted, Terms } from '../provider.ts';
import { parseRoleArn } from './arn.ts';
import { type AwsContext, type AwsKeys, identityToken, keysOf } from './clients.ts';
import { signInUrl } from './console.ts';
import { providerError } from './errors.ts';
import { makeHandle } from './handle.ts';
import { CLOCK_TOLERANCE_MS } from './limits.ts';
import { mustBeAllowed } from './refusals.ts';
import type { AwsScope } from './scope.ts';
import { planSession, type SessionPlan } from './session.ts';

const DOING = 'assume a role';

/**
 * Assumes the role. The SDK may ask several times within the signal: sessions of one name that nobody received lapse,
 * and a denial by that name covers them all.
 */
export async function mint(
  context: AwsContext,
  scope: AwsScope,
  terms: Terms,
  signal: AbortSignal,
): Promise<Minted> {
  const { settings, target } = context;
  if (signal.aborted) throw new ProviderError('target-refused', `Cannot ${DOING}: it was given up before`);
  mustBeAllowed(scope, settings);
  const askedAt = target.runtime.now();
  const plan = planSession(settings, scope, terms, askedAt);
  const { keys, arn } = await assume(context, plan, signal);
  const expiresAt = expiryOf(plan, keys.expiration.getTime(), terms, askedAt, target.runtime.now());
  const role = parseRoleArn(scope.role_arn);
  const consoleUrl =
    scope.console && (await signInUrl(context, keys, role.partition, scope.console.destination, signal));
  return {
    secret: {
      type: 'aws',
      values: {
        access_key_id: keys.accessKeyId,
        secret_access_key: keys.secretAccessKey,
        session_token: keys.sessionToken,
        expiration: instant(expiresAt),
        region: scope.region ?? settings.region,
        account_id: role.account,
        session_arn: arn,
        ...(consoleUrl === undefined ? {} : { console_url: consoleUrl }),
      },
    },
    handle: makeHandle(plan),
    expiresAt,
  };
}

/** Asks STS for the session, as the target's settings say who we are. */
export async function assume(
  context: AwsContext,
  plan: SessionPlan,
  signal: AbortSignal,
): Promise<{ readonly keys: Required<AwsKeys>; readonly arn: string }> {
  const { settings, target, clients } = context;
  const attempts = { mayHaveMade: false };
  try {
    const answer =
      settings.credentials.source === 'web_identity'
        ? await clients.sts.send(
            watched(
              new AssumeRoleWithWebIdentityCommand({
                ...commonInput(plan),
                WebIdentityToken: await identityToken(settings, target, tokenClaims(plan)),
              }),
              attempts,
            ),
            { abortSignal: signal },
          )
        : await clients.sts.send(watched(new AssumeRoleCommand(roleInput(plan)), attempts), {
            abortSignal: signal,
          });
    return { keys: keysOf(answer.Credentials), arn: sessionArn(answer) };
  } catch (error) {
    const ours = providerError(DOING, error, signal);
    throw attempts.mayHaveMade ? afterEffect(ours, '; and what came of an earlier attempt is unknown') : ours;
  }
}

/**
 * Notes of each attempt that the SDK makes whether it may have made a session. The SDK tells of the last one alone, and
 * where that was refused, one before it whose answer was lost may have succeeded.
 */
function watched<Command extends AssumeRoleCommand | AssumeRoleWithWebIdentityCommand>(
  command: Command,
  attempts: { mayHaveMade: boolean },
): Command {
  const stack = command.middlewareStack as AssumeRoleCommand['middlewareStack'];
  // What lies in this step is run for each attempt: only what is sent gets here.
  stack.add(
    (next) => async (args) => {
      try {
        return await next(args);
      } catch (error) {
        if (mayHaveTakenEffect(providerError(DOING, error))) attempts.mayHaveMade = true;
        throw error;
      }
    },
    { step: 'deserialize', priority: 'high', name: 'noteAttempt' },
  );
  return command;
}

function sessionArn({ AssumedRoleUser }: Pick<AssumeRoleCommandOutput, 'AssumedRoleUser'>): string {
  return AssumedRoleUser?.Arn ?? '';
}

function commonInput({ roleArn, name, durationSeconds, policy, policyArns }: SessionPlan) {
  return {
    RoleArn: roleArn,
    RoleSessionName: name,
    DurationSeconds: durationSeconds,
    ...(policy === undefined ? {} : { Policy: policy }),
    ...(policyArns.length === 0 ? {} : { PolicyArns: policyArns.map((arn) => ({ arn })) }),
  };
}

function roleInput(plan: SessionPlan): AssumeRoleCommandInput {
  const tags = Object.entries(plan.tags);
  return {
    ...commonInput(plan),
    ...(plan.sourceIdentity === undefined ? {} : { SourceIdentity: plan.sourceIdentity }),
    ...(plan.externalId === undefined ? {} : { ExternalId: plan.externalId }),
    ...(tags.length === 0 ? {} : { Tags: tags.map(([Key, Value]) => ({ Key, Value })) }),
    ...(plan.transitiveTags.length === 0 ? {} : { TransitiveTagKeys: [...plan.transitiveTags] }),
  };
}

/**
 * With a web identity, tags and source identity are claims of the token (IAM user guide, "Passing session tags using
 * AssumeRoleWithWebIdentity" and "Monitor and control actions taken with assumed roles").
 */
function tokenClaims({ tags, transitiveTags, sourceIdentity }: SessionPlan): Record<string, Json> {
  const principalTags = Object.fromEntries(Object.entries(tags).map(([key, value]) => [key, [value]]));
  return {
    'https://aws.amazon.com/tags': {
      principal_tags: principalTags,
      ...(transitiveTags.length === 0 ? {} : { transitive_tag_keys: transitiveTags }),
    },
    ...(sourceIdentity === undefined ? {} : { 'https://aws.amazon.com/source_identity': sourceIdentity }),
  };
}

/**
 * When the session is of no use any more. Its end is an instant of AWS's clock: where that clock disagrees with ours,
 * neither the end nor the date in the policy is what we would report, and the session is not handed out.
 */
function expiryOf(
  { durationSeconds, deadAt }: SessionPlan,
  expiration: number,
  terms: Terms,
  askedAt: number,
  now: number,
): number {
  const beganAt = expiration - durationSeconds * 1000;
  if (beganAt < askedAt - CLOCK_TOLERANCE_MS || beganAt > now + CLOCK_TOLERANCE_MS)
    throw new ProviderError(
      'target-failed',
      `Cannot hand out a session: by the clock of AWS it began ${Math.round((beganAt - now) / 1000)} s from now: set the broker's clock right (NTP)`,
    );
  const expiresAt = Math.min(expiration, deadAt ?? expiration);
  if (expiresAt > terms.expiresAt)
    throw new ProviderError(
      'target-failed',
      'Cannot hand out a session: STS answered so late that it outlasts its lease',
    );
  return expiresAt;
}
