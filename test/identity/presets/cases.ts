import type { AttestorKind } from '../../../src/identity/attestor.ts';
import type { Json } from '../../../src/json.ts';
import { attestorKinds } from '../../../src/kinds.ts';

/** The presets, each with tokens as its issuer makes them. */

export const ORGANIZATION = '11111111-2222-3333-4444-555555555555';

export interface Case {
  readonly type: string;
  /** Settings beside `type` and `audience`. */
  readonly settings: Record<string, unknown>;
  readonly iss: string;
  /** What its tokens say, beside the registered claims. */
  readonly claims: Record<string, unknown>;
  /** A grant's claims that say who. */
  readonly good: readonly Record<string, Json>[];
  /** A grant's claims that do not, and what the fault must tell. */
  readonly bad: readonly (readonly [Record<string, Json>, RegExp])[];
}

export const github = {
  repository: 'acme/etl',
  repository_id: '812345',
  repository_owner: 'acme',
  repository_owner_id: '77',
  event_name: 'push',
  ref: 'refs/heads/main',
  job_workflow_ref: 'acme/etl/.github/workflows/nightly.yml@refs/heads/main',
  environment: 'prod',
  sub: 'repo:acme/etl:environment:prod',
};

const githubGood: Case['good'] = [
  { repository_id: '812345', event_name: 'push' },
  { repository_id: '812345', event_name: ['push', 'schedule'], ref: 'refs/heads/main' },
  { sub: 'repo:acme@77/etl@812345:environment:prod', event_name: 'push' },
  { sub: { glob: 'repo:acme@77/etl@812345:ref:refs/heads/**' }, event_name: 'push' },
  { repository_owner_id: '77', job_workflow_ref: github.job_workflow_ref, event_name: 'push' },
];

const githubBad: Case['bad'] = [
  [{}, /pin "repository_id"/],
  [{ aud: 'hallpass' }, /pin "repository_id"/],
  [{ sub: { glob: 'repo:acme/*' }, event_name: 'push' }, /pin "repository_id"/],
  [{ sub: { glob: 'repo:acme@77/**' }, event_name: 'push' }, /pin "repository_id"/],
  [{ sub: { glob: 'repo:acme@77/etl@*:ref:refs/heads/main' }, event_name: 'push' }, /pin "repository_id"/],
  [{ sub: 'repo:acme/etl:ref:refs/heads/main', event_name: 'push' }, /pin "repository_id"/],
  [{ repository: 'acme/etl', event_name: 'push' }, /beside "repository" pin "repository_id"/],
  [{ repository_id: { glob: '8123*' }, event_name: 'push' }, /by exact values/],
  [{ repository_owner_id: '77', event_name: 'push' }, /pin "repository_id"/],
  [{ repository_id: '812345', ref: 'refs/heads/main' }, /pin "event_name"/],
  [{ repository_id: '812345', event_name: ['push', 'pull_request_target'] }, /"pull_request_target"/],
  [{ repository_id: '812345', event_name: 'issue_comment' }, /strangers can cause it/],
  [{ repository_id: '812345', event_name: 'workflow_run' }, /strangers can cause it/],
  [{ repository_id: '812345', event_name: 'gollum' }, /strangers can cause it/],
  [{ repository_id: '812345', event_name: { glob: '*' } }, /pin "event_name"/],
  [{ repository_id: 812345, event_name: 'push' }, /put its value in quotes/],
  [
    { repository_id: '812345', event_name: 'push', job_workflow_ref: { glob: 'acme/etl/**' } },
    /write OWNER\/REPOSITORY/,
  ],
  [
    { repository_id: '812345', event_name: 'push', job_workflow_ref: 'acme/etl/.github/workflows/x.yml' },
    /at a ref/,
  ],
  [{ repository_id: '812345', event_name: 'push', actor: 'octocat' }, /write actor_id/],
];

export const cases: readonly Case[] = [
  {
    type: 'github',
    settings: {},
    iss: 'https://token.actions.githubusercontent.com',
    claims: github,
    good: githubGood,
    bad: githubBad,
  },
  {
    type: 'github',
    settings: { enterprise: 'acme-corp' },
    iss: 'https://token.actions.githubusercontent.com/acme-corp',
    claims: github,
    good: githubGood,
    bad: githubBad,
  },
  {
    type: 'github-enterprise',
    settings: { server_url: 'https://github.acme.example/' },
    iss: 'https://github.acme.example/_services/token',
    claims: github,
    good: githubGood,
    bad: githubBad,
  },
  {
    type: 'gitlab',
    settings: {},
    iss: 'https://gitlab.com',
    claims: { project_id: '42', namespace_id: '7', ref_protected: 'true', ref: 'main', ref_type: 'branch' },
    good: [
      { project_id: '42', ref_protected: 'true' },
      { project_id: '42', ref: 'main', ref_type: 'branch', ref_protected: 'true' },
    ],
    bad: [
      [{ project_path: 'acme/etl', ref_protected: 'true' }, /pin "project_id"/],
      [{ sub: { glob: 'project_path:acme/*' }, ref_protected: 'true' }, /pin "project_id"/],
      [{ project_id: '42' }, /a merge request/],
      [{ project_id: '42', ref_protected: true }, /put its value in quotes/],
      [{ project_id: '42', ref_protected: 'false' }, /leave it out/],
      [{ project_id: '42', ref_protected: 'true', ref: 'main' }, /beside "ref" pin "ref_type"/],
      [{ project_id: '42', pipeline_source: 'push', environment: 'prod' }, /environment_protected/],
    ],
  },
  {
    type: 'buildkite',
    settings: {},
    iss: 'https://agent.buildkite.com',
    claims: { organization_id: 'o-1', pipeline_id: 'p-1', organization_slug: 'acme' },
    good: [{ organization_id: 'o-1', pipeline_id: 'p-1' }],
    bad: [
      [{ pipeline_id: 'p-1' }, /pin "organization_id"/],
      [{ organization_slug: 'acme', pipeline_id: 'p-1' }, /pin "organization_id"/],
      [{ organization_id: 'o-1', pipeline_slug: 'etl' }, /pin "pipeline_id"/],
      [{ sub: { glob: 'organization:acme:pipeline:etl:**' } }, /pin "organization_id"/],
    ],
  },
  {
    type: 'circleci',
    settings: { organization_id: ORGANIZATION, audience: 'hallpass' },
    iss: `https://oidc.circleci.com/org/${ORGANIZATION}`,
    claims: {
      'oidc.circleci.com/project-id': 'p',
      'oidc.circleci.com/vcs-origin': 'github.com/acme/etl',
      'oidc.circleci.com/ssh-rerun': false,
    },
    good: [
      {
        'oidc.circleci.com~1project-id': 'p',
        'oidc.circleci.com~1vcs-origin': 'github.com/acme/etl',
        'oidc.circleci.com~1ssh-rerun': false,
      },
    ],
    bad: [
      [{ 'oidc.circleci.com~1project-id': 'p' }, /forked pull requests/],
      [
        {
          'oidc.circleci.com~1project-id': 'p',
          'oidc.circleci.com~1vcs-origin': 'github.com/acme/etl',
          'oidc.circleci.com~1ssh-rerun': 'false',
        },
        /write false without quotes/,
      ],
      [{ aud: ORGANIZATION }, /every project/],
    ],
  },
  {
    type: 'terraform-cloud',
    settings: {},
    iss: 'https://app.terraform.io',
    claims: {
      terraform_organization_id: 'org-1',
      terraform_workspace_id: 'ws-1',
      terraform_run_phase: 'apply',
      sub: 'organization:acme:project:p:workspace:w:run_phase:apply',
    },
    good: [
      { terraform_workspace_id: 'ws-1', terraform_run_phase: 'apply' },
      { terraform_workspace_id: 'ws-1', sub: 'organization:acme:project:p:workspace:w:run_phase:apply' },
    ],
    bad: [
      [{ sub: 'organization:acme:project:p:workspace:w:run_phase:apply' }, /pin "terraform_workspace_id"/],
      [{ terraform_workspace_id: 'ws-1' }, /run_phase/],
      [{ terraform_workspace_id: 'ws-1', sub: { glob: 'organization:acme:**' } }, /run_phase/],
      [{ terraform_organization_name: 'acme', terraform_run_phase: 'apply' }, /terraform_organization_id/],
    ],
  },
  {
    type: 'bitbucket',
    settings: { workspace: 'acme', workspace_uuid: ORGANIZATION, audience: 'hallpass' },
    iss: 'https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc',
    claims: { repositoryUuid: '{r}', workspaceUuid: '{w}', branchName: 'main' },
    good: [{ repositoryUuid: '{r}', branchName: 'main' }],
    bad: [
      [{ repositoryUuid: '{r}' }, /pin "branchName"/],
      [{ branchName: 'main' }, /pin "repositoryUuid"/],
    ],
  },
  {
    type: 'kubernetes',
    settings: {},
    iss: 'https://kubernetes.default.svc.cluster.local',
    claims: {
      sub: 'system:serviceaccount:etl:nightly',
      'kubernetes.io': { namespace: 'etl', serviceaccount: { name: 'nightly', uid: 'u-1' } },
    },
    good: [
      { sub: 'system:serviceaccount:etl:nightly' },
      { 'kubernetes.io/namespace': 'etl', 'kubernetes.io/serviceaccount/name': 'nightly' },
      { 'kubernetes.io/serviceaccount/uid': 'u-1' },
    ],
    bad: [
      [{ 'kubernetes.io/namespace': 'etl' }, /pin "sub"/],
      [{ 'kubernetes.io/serviceaccount/name': 'nightly' }, /pin "sub"/],
      [{ sub: { glob: 'system:serviceaccount:etl:*' } }, /pin "sub"/],
      [{ sub: 'system:serviceaccounts' }, /system:serviceaccount:NAMESPACE:NAME/],
      [{ sub: 'system:serviceaccount:etl:nightly', 'kubernetes.io/pod/name': 'x' }, /whoever may make pods/],
    ],
  },
  {
    type: 'google',
    settings: {},
    iss: 'https://accounts.google.com',
    claims: { sub: '1045', email: 'etl@acme.iam.gserviceaccount.com', email_verified: true },
    good: [{ sub: '1045' }, { sub: '1045', email: 'etl@acme.iam.gserviceaccount.com' }],
    bad: [
      [{ email: 'etl@acme.iam.gserviceaccount.com' }, /beside "email" pin "sub"/],
      [{ 'google/compute_engine/project_id': 'acme' }, /pin "sub"/],
      [{ sub: 1045 }, /put its value in quotes/],
    ],
  },
  {
    type: 'azure',
    settings: { tenant_id: ORGANIZATION },
    iss: `https://sts.windows.net/${ORGANIZATION}/`,
    claims: { tid: ORGANIZATION, oid: 'o-1' },
    good: [{ oid: 'o-1' }],
    bad: [
      [{ tid: ORGANIZATION }, /pin "oid"/],
      [{ xms_mirid: '/subscriptions/1' }, /beside "xms_mirid" pin "oid"/],
      [{ oid: 'o-1', upn: 'a@acme.example' }, /write oid/],
    ],
  },
  {
    type: 'azure',
    settings: { tenant_id: ORGANIZATION, token_version: 2 },
    iss: `https://login.microsoftonline.com/${ORGANIZATION}/v2.0`,
    claims: { tid: ORGANIZATION, oid: 'o-1' },
    good: [{ oid: 'o-1' }],
    bad: [],
  },
  {
    type: 'aws-web-identity',
    settings: { issuer: 'https://0a1b2c3d-e4f5.tokens.sts.global.api.aws' },
    iss: 'https://0a1b2c3d-e4f5.tokens.sts.global.api.aws',
    claims: {
      sub: 'arn:aws:iam::123456789012:role/etl',
      'https://sts.amazonaws.com/': { aws_account: '123456789012' },
    },
    good: [
      { sub: 'arn:aws:iam::123456789012:role/etl' },
      {
        sub: 'arn:aws:iam::123456789012:role/etl',
        'https:~1~1sts.amazonaws.com~1/aws_account': '123456789012',
      },
    ],
    bad: [
      [{ 'https:~1~1sts.amazonaws.com~1/aws_account': '123456789012' }, /pin "sub"/],
      [
        { sub: 'arn:aws:iam::1:role/etl', 'https:~1~1sts.amazonaws.com~1/request_tags/team': 'etl' },
        /write principal_tags/,
      ],
    ],
  },
];

export async function kindOf(type: string): Promise<AttestorKind> {
  return (await attestorKinds[type]?.()) as AttestorKind;
}

/** Reads the settings as a configuration does. */
export async function open(
  { type, settings }: Pick<Case, 'type' | 'settings'>,
  files: Record<string, string> = {},
) {
  const kind = await kindOf(type);
  const written = kind.settings.parse({
    type,
    audience: 'hallpass',
    ...settings,
    ...Object.fromEntries(Object.keys(files).map((name) => [name, `/${name}`])),
  });
  const resolved = kind.resolve(written, files);
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.error));
  return { kind, settings: resolved.value, described: kind.describe(resolved.value) };
}
