import { GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import { ProviderError } from '../../errors.ts';
import { newId } from '../../runtime.ts';
import type { SelfTest } from '../provider.ts';
import type { Report } from '../self-test.ts';
import { parseRoleArn, roleArn } from './arn.ts';
import { type AwsContext, type AwsKeys, identityToken } from './clients.ts';
import { denialName, sessionDenial } from './denial.ts';
import { type EndContext, put, removeAll } from './end.ts';
import { providerError } from './errors.ts';
import { makeHandle } from './handle.ts';
import { SHORTEST_SESSION_SECONDS } from './limits.ts';
import { assume } from './mint.ts';
import { policyText } from './policy.ts';
import { denialRights, roleTrust, type Us } from './rights.ts';
import { type SessionPlan, sessionName } from './session.ts';
import type { Denial } from './settings.ts';

/**
 * Finds out who we are, assumes every role that a grant names with a policy that allows nothing, asks AWS who that
 * session is, and writes and removes a denial on every role where sessions may be denied.
 */
export async function selfTest(
  context: AwsContext,
  scopes: readonly unknown[],
  signal: AbortSignal,
): Promise<SelfTest> {
  const report: Report = { steps: [], remedies: [] };
  const us = await whoWeAre(report, context, signal);
  if (us) {
    for (const role of rolesIn(scopes)) await tryRole(report, context, us, role, signal);
    const { denial } = context.settings;
    if (denial) await tryDenials(report, { ...context, denial }, signal);
  }
  return { ok: report.steps.every((step) => step.ok), ...report };
}

async function whoWeAre(report: Report, context: AwsContext, signal: AbortSignal): Promise<Us | undefined> {
  const { settings, target, clients } = context;
  const { source } = settings.credentials;
  if (source === 'web_identity') {
    const stated = await attempt(report, 'sign a token for AWS', signal, async () =>
      statedIn(await identityToken(settings, target, {})),
    );
    if (!stated) {
      report.remedies.push('Make this broker an issuer: AWS must be able to read its keys over https');
      return undefined;
    }
    // Without a role to assume there is nobody to ask; that AWS can be reached is seen with the first role.
    return { kind: 'issuer', ...stated.value, audience: settings.credentials.audience };
  }
  const caller = await attempt(report, 'GetCallerIdentity as the broker', signal, () =>
    clients.sts.send(new GetCallerIdentityCommand(), { abortSignal: signal }),
  );
  if (!caller) {
    report.remedies.push(
      'Give the broker credentials that AWS takes, and a way to reach the STS of `region`',
    );
    return undefined;
  }
  if (source === 'static')
    report.steps.push({
      name: 'credentials',
      ok: true,
      detail: 'a long-lived key: web_identity or instance need none',
    });
  return { kind: 'principal', arn: lastingArn(caller.value.Arn ?? '') };
}

/** A session's ARN is not what a trust policy names: its role's is. */
function lastingArn(arn: string): string {
  return arn.replace(/^(arn:aws[a-z-]*):sts::(\d+):assumed-role\/([^/]+)\/.*$/, '$1:iam::$2:role/$3');
}

/** What our own token says of us: it is what a trust policy must name. */
function statedIn(token: string): { readonly url: string; readonly subject: string } {
  const { iss, sub } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >;
  return { url: String(iss), subject: String(sub) };
}

async function tryRole(
  report: Report,
  context: AwsContext,
  us: Us,
  { role_arn, external_id }: TestedRole,
  signal: AbortSignal,
): Promise<void> {
  const plan = harmlessPlan(context, role_arn, external_id);
  const session = await attempt(report, `assume ${role_arn}`, signal, () => assume(context, plan, signal));
  if (!session) {
    report.remedies.push(...roleTrust(us, role_arn, external_id, context.settings));
    return;
  }
  await attempt(report, `use a session of ${role_arn}`, signal, () =>
    mustBe(context, session.value.keys, plan.name, signal),
  );
}

/** A session that may do nothing, not even with what its role may. */
function harmlessPlan(
  { settings, target }: AwsContext,
  role: string,
  externalId: string | undefined,
): SessionPlan {
  const name = sessionName(`${target.mark}${newId(target.runtime)}`);
  return {
    roleArn: role,
    name,
    sourceIdentity: settings.without_source_identity ? undefined : name,
    durationSeconds: SHORTEST_SESSION_SECONDS,
    policy: policyText([{ Effect: 'Deny', Action: '*', Resource: '*' }]),
    policyArns: [],
    tags: Object.fromEntries(settings.context_tags.map((key) => [`hallpass:${key}`, 'self-test'])),
    transitiveTags: [],
    externalId,
    deadAt: null,
  };
}

/** GetCallerIdentity needs no right: whoever holds the keys is told who he is. */
async function mustBe(
  { clients }: AwsContext,
  keys: AwsKeys,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const theirs = clients.stsAs(keys);
  try {
    const { Arn } = await theirs.send(new GetCallerIdentityCommand(), { abortSignal: signal });
    if (!Arn?.endsWith(`/${name}`))
      throw new ProviderError('target-failed', `Cannot use the session: AWS takes it for "${Arn}"`);
  } finally {
    theirs.destroy();
  }
}

async function tryDenials(
  report: Report,
  context: EndContext & { readonly denial: Denial },
  signal: AbortSignal,
): Promise<void> {
  const { target, denial } = context;
  const name = sessionName(`${target.mark}${newId(target.runtime)}`);
  const policyName = denialName(name, target.runtime.now());
  const document = sessionDenial(makeHandle(harmlessPlan(context, '', undefined)));
  for (const arn of denial.roles) {
    const role = parseRoleArn(arn).name;
    const tried = await attempt(report, `deny and allow again a session of ${arn}`, signal, async () => {
      const hadRoom = await put(context, role, policyName, document, signal);
      if (!hadRoom)
        throw new ProviderError(
          'target-refused',
          "Cannot deny a session: the role's inline policies are full",
        );
      await removeAll(context, role, [{ policyName }], signal);
    });
    if (!tried) report.remedies.push(denialRights(denial, arn));
  }
}

/** What failed is a step of the report; the rest goes on without it. */
async function attempt<T>(
  report: Report,
  name: string,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<{ readonly value: T } | undefined> {
  try {
    const value = await work();
    report.steps.push({ name, ok: true });
    return { value };
  } catch (error) {
    report.steps.push({ name, ok: false, detail: providerError(name, error, signal).message });
    return undefined;
  }
}

interface TestedRole {
  readonly role_arn: string;
  readonly external_id: string | undefined;
}

/** The roles that scopes name; those that a template will name are not known yet. */
function rolesIn(scopes: readonly unknown[]): TestedRole[] {
  const roles = new Map<string, TestedRole>();
  for (const scope of scopes) {
    if (typeof scope !== 'object' || scope === null) continue;
    const { role_arn, external_id } = scope as Record<string, unknown>;
    const known = roleArn.safeParse(role_arn);
    if (!known.success) continue;
    roles.set(known.data, {
      role_arn: known.data,
      external_id: typeof external_id === 'string' && !external_id.includes('{{') ? external_id : undefined,
    });
  }
  return [...roles.values()];
}
