import type { ClaimRules } from '../attestor.ts';

/** Events that somebody without rights to the repository can cause, and that run in its name, on its default branch. */
const STRANGERS_EVENTS = [
  'pull_request_target',
  'issue_comment',
  'issues',
  'workflow_run',
  'discussion',
  'discussion_comment',
  'fork',
  'watch',
  // A wiki may be open to everybody.
  'gollum',
];

const WITHOUT_REF =
  'a workflow is only what it was reviewed to be at a ref of its repository; write OWNER/REPOSITORY/.github/workflows/FILE@refs/heads/BRANCH';

/** OWNER and REPOSITORY with their ids in the subject: repositories since July 2026. */
const IMMUTABLE_SUBJECT = /^repo:[^/:@]+@\d+\/[^/:@]+@\d+:/;

/** https://docs.github.com/en/actions/reference/security/oidc */
export const githubRules: ClaimRules = {
  pins: [
    {
      anyOf: [['repository_id'], ['repository_owner_id', 'job_workflow_ref']],
      form: { claim: 'sub', pattern: IMMUTABLE_SUBJECT },
      because:
        'names are given to others once they are free, and an owner can make any number of repositories',
    },
    {
      anyOf: [['event_name']],
      because: "a run that a stranger's pull request or comment causes can carry the ref of your own branch",
    },
  ],
  beside: [
    {
      claim: 'repository',
      needs: ['repository_id'],
      because: 'a repository name can be taken by somebody else',
    },
    {
      claim: 'repository_owner',
      needs: ['repository_owner_id', 'repository_id'],
      because: "an owner's name can be taken by somebody else",
    },
  ],
  never: [
    {
      claim: 'event_name',
      values: STRANGERS_EVENTS,
      because: 'strangers can cause it, and it runs with the rights of the default branch',
    },
  ],
  forms: [
    { claim: 'job_workflow_ref', pattern: /^[^/@]+\/[^/@]+\/[^@]+@refs\//, because: WITHOUT_REF },
    { claim: 'workflow_ref', pattern: /^[^/@]+\/[^/@]+\/[^@]+@refs\//, because: WITHOUT_REF },
  ],
  unreliable: {
    actor: 'a login can be taken by somebody else; write actor_id',
    workflow: 'any file of any branch can have this name; write workflow_ref or job_workflow_ref',
    head_ref: 'whoever opens a pull request chooses it; write event_name and ref',
  },
  strings: [
    'repository_id',
    'repository_owner_id',
    'actor_id',
    'run_id',
    'run_attempt',
    'run_number',
    'ref_protected',
  ],
};
