import type { Json } from '../../json.ts';
import { parseRoleArn } from './arn.ts';
import type { AwsSettings, Denial } from './settings.ts';

/** Whom AWS takes us for. */
export type Us =
  | { readonly kind: 'principal'; readonly arn: string }
  | { readonly kind: 'issuer'; readonly url: string; readonly subject: string; readonly audience: string };

/** What to paste where a role cannot be assumed: the least that is enough, and nothing else. */
export function roleTrust(
  us: Us,
  role: string,
  externalId: string | undefined,
  settings: AwsSettings,
): string[] {
  const extra = [
    ...(settings.context_tags.length > 0 ? ['sts:TagSession'] : []),
    ...(settings.without_source_identity ? [] : ['sts:SetSourceIdentity']),
  ];
  if (us.kind === 'issuer') return [trustPolicy(role, issuerTrust(us, role, extra))];
  const actions = ['sts:AssumeRole', ...extra];
  const condition: Record<string, Json> =
    externalId === undefined ? {} : { Condition: { StringEquals: { 'sts:ExternalId': externalId } } };
  return [
    trustPolicy(role, { Effect: 'Allow', Principal: { AWS: us.arn }, Action: actions, ...condition }),
    `Policy of ${us.arn}: ${document({ Effect: 'Allow', Action: actions, Resource: role })}`,
  ];
}

function issuerTrust(
  { url, subject, audience }: Us & { kind: 'issuer' },
  role: string,
  extra: string[],
): Json {
  const { partition, account } = parseRoleArn(role);
  const host = url.replace(/^https?:\/\//, '');
  return {
    Effect: 'Allow',
    Principal: { Federated: `arn:${partition}:iam::${account}:oidc-provider/${host}` },
    Action: ['sts:AssumeRoleWithWebIdentity', ...extra],
    Condition: { StringEquals: { [`${host}:aud`]: audience, [`${host}:sub`]: subject } },
  };
}

function trustPolicy(role: string, statement: Json): string {
  return `Trust policy of ${role}: ${document(statement)}`;
}

export function denialRights(denial: Denial, role: string): string {
  const rights = document({
    Effect: 'Allow',
    Action: ['iam:ListRolePolicies', 'iam:PutRolePolicy', 'iam:DeleteRolePolicy'],
    Resource: role,
  });
  return `Policy of ${denial.via_role_arn ?? "the broker's own identity"}: ${rights}`;
}

function document(statement: Json): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: [statement] });
}
