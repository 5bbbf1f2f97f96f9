import type { ClaimRules } from '../identity/attestor.ts';
import { quote } from './fault.ts';
import type { ClaimRule } from './grant.ts';
import type { ParsedPattern } from './pattern.ts';
import { pinningFaults } from './pinning.ts';

/** What is known of an issuer when a grant is read. */
export interface IssuerInWorld {
  /** As its tokens state it in `iss`; undefined for issuers that are no OIDC issuers. */
  readonly url?: string;
  /** What its kind knows of its claims; undefined: what any issuer's claims are like. */
  readonly rules?: ClaimRules;
}

/**
 * Issuers that many customers share, and the claims that tell these apart. A matcher must pin one of them, exactly or
 * by a narrow glob; no other claim is enough.
 *
 * - https://docs.github.com/en/actions/reference/security/oidc
 * - https://docs.gitlab.com/ci/secrets/id_token_authentication/
 * - https://buildkite.com/docs/agent/v3/cli-oidc
 * - https://developer.hashicorp.com/terraform/cloud-docs/workspaces/dynamic-provider-credentials/workload-identity-tokens
 * - https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload
 */
const SHARED_ISSUERS: ReadonlyMap<string, readonly string[]> = new Map([
  [
    'https://token.actions.githubusercontent.com',
    ['repository_id', 'sub', 'repository', 'job_workflow_ref', 'workflow_ref'],
  ],
  ['https://gitlab.com', ['project_id', 'sub', 'project_path', 'user_id', 'user_login', 'ci_config_ref_uri']],
  ['https://agent.buildkite.com', ['organization_id', 'pipeline_id']],
  ['https://app.terraform.io', ['sub', 'terraform_workspace_id', 'terraform_project_id']],
  ['https://accounts.google.com', ['sub', 'email']],
]);

type Rule = ClaimRule & { readonly accepts: readonly ParsedPattern[] };

/** Claims of the token itself: they are checked for every token, and say nothing of who holds it. */
const OF_THE_TOKEN = new Set(['iss', 'aud', 'azp', 'exp', 'iat', 'nbf', 'jti', 'typ']);

/** Claims about what a run is, which runs of strangers have too. */
const OF_THE_EVENT = new Set([
  'event_name',
  'ref',
  'ref_type',
  'ref_path',
  'ref_protected',
  'base_ref',
  'head_ref',
  'environment',
  'environment_protected',
  'deployment_tier',
  'pipeline_source',
  'runner_environment',
]);

/** Claims that name a whole organisation: everybody in it can make a repository. */
const OF_THE_OWNER = new Set([
  'repository_owner',
  'repository_owner_id',
  'repository_visibility',
  'namespace_id',
  'namespace_path',
  'organization_id',
  'organization_slug',
  'enterprise',
  'enterprise_id',
]);

/** What stands before the first wildcard of a glob that takes in all that an owner has. */
const OWNER_WIDE: readonly { readonly claims: RegExp; readonly prefix: RegExp }[] = [
  { claims: /./, prefix: /^$/ },
  { claims: /./, prefix: /^(?:repo|project_path|organization|org|project):[^/:]*[/:]?$/ },
  { claims: /./, prefix: /^organization:[^/:]*:pipeline:$/ },
  { claims: /./, prefix: /^system:(?:serviceaccount:?)?[^:]*$/ },
  { claims: /./, prefix: /^(?:spiffe|https?):\/?\/?[^/]*\/?$/ },
  {
    claims: /^(?:repository|project_path|(?:job_)?workflow_ref|ci_config_ref_uri)$/,
    prefix: /^[^/]*\/?$/,
  },
];

/** Why these rules let in more than they say: by what is known of the issuer, or else by what all issuers are like. */
export function widthFaults(rules: readonly Rule[], issuer: IssuerInWorld): string[] {
  if (issuer.rules !== undefined) return pinningFaults(rules, issuer.rules);
  const message = tooWide(rules, issuer);
  return message === null ? [] : [message];
}

/** Why these rules let in more than somebody in particular, as a sentence that says what to add; null when they do not. */
function tooWide(rules: readonly Rule[], issuer: IssuerInWorld): string | null {
  if (rules.length === 0)
    return 'Too wide: this lets in everybody that the issuer knows; pin a claim that says who, for instance sub';
  const identifying = SHARED_ISSUERS.get(issuer.url ?? '');
  const reasons = rules.map((rule) => widthOf(rule, identifying));
  if (reasons.includes(null)) return null;
  const advice =
    identifying === undefined
      ? 'add a claim that says who, for instance sub or repository_id, exactly or by a glob that names more than the owner'
      : `this issuer has many customers: pin one of ${identifying.map(quote).join(', ')}`;
  return `Too wide: ${[...new Set(reasons)].join('; ')}; ${advice}`;
}

/** Why this rule alone does not say who it is; null when it does. */
function widthOf(rule: Rule, identifying: readonly string[] | undefined): string | null {
  const name = rule.path[0] ?? '';
  if (rule.path.length === 1) {
    if (OF_THE_TOKEN.has(name)) return `${quote(name)} is the same for all tokens of the issuer`;
    if (OF_THE_EVENT.has(name)) return `${quote(name)} says what runs, not who`;
    if (OF_THE_OWNER.has(name) && !identifying?.includes(name))
      return `${quote(name)} is true of all that the owner has`;
  }
  for (const pattern of rule.accepts) {
    const reason = patternWidth(rule.path.join('/'), pattern);
    if (reason !== null) return reason;
  }
  if (identifying !== undefined && !identifying.includes(rule.name))
    return `${quote(rule.name)} does not tell this issuer's customers apart`;
  return null;
}

function patternWidth(claim: string, { shape }: ParsedPattern): string | null {
  if (shape.kind === 'contains') return patternWidth(claim, shape.inner);
  if (shape.kind === 'exact')
    return typeof shape.value === 'boolean' ? `${quote(claim)} is true or false for everybody` : null;
  const { text, prefix } = shape.glob;
  if (prefix === text) return null;
  // A wildcard before the first separator of several fields leaves open even what kind of subject it is.
  const vague = !/[/:]/.test(prefix) && (/[/:]/.test(text) || text.includes('**'));
  const wide = vague || OWNER_WIDE.some((form) => form.claims.test(claim) && form.prefix.test(prefix));
  return wide ? `the glob ${quote(text)} takes in all that an owner has` : null;
}
