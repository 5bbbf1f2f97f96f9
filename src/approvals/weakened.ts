import type { Grant, PrincipalMatcher } from '../grants/grant.ts';

/** What is remembered of a grant's approval, so that a later configuration can be held against it. */
export interface RememberedApproval {
  readonly stages: readonly RememberedStage[];
  /** The conditions that approve by themselves, as written. */
  readonly autoApprove: readonly string[];
  /** Who closes the reviews of break-glass, as text; absent: there are none. */
  readonly reviewers?: readonly string[];
}

interface RememberedStage {
  readonly approvals: number;
  /** Each of those who may approve, as text. */
  readonly from: readonly string[];
  readonly when: string | null;
}

/** Null when nobody is asked, before or after. */
export function rememberedApproval({ approval, breakGlass }: Grant): RememberedApproval | null {
  if (approval === null && breakGlass === null) return null;
  return {
    stages: (approval?.stages ?? []).map(({ approvals, from, when }) => ({
      approvals,
      from: from.map(matcherText),
      when: when?.expression ?? null,
    })),
    autoApprove: (approval?.autoApprove ?? []).map(({ expression }) => expression),
    ...(breakGlass === null ? {} : { reviewers: breakGlass.review.by.map(matcherText) }),
  };
}

/** In which ways less is asked than before, as sentences; none when it is as much or more. */
export function weakenings(before: RememberedApproval, after: RememberedApproval | null): string[] {
  const found: string[] = [];
  const { reviewers } = before;
  if (reviewers !== undefined && after?.reviewers === undefined)
    found.push('no review follows its use any more');
  if (reviewers !== undefined && after?.reviewers?.some((matcher) => !reviewers.includes(matcher)))
    found.push('others may close its reviews');
  if (before.stages.length > 0 && (after === null || after.stages.length === 0))
    return [...found, 'nobody is asked any more'];
  if (after === null) return found;
  let from = 0;
  for (const [i, stage] of before.stages.entries()) {
    const kept = after.stages.findIndex((other, j) => j >= from && asksAsMuch(other, stage));
    if (kept === -1) found.push(`stage ${i + 1} is gone, or asks less`);
    else from = kept + 1;
  }
  const added = after.autoApprove.filter((expression) => !before.autoApprove.includes(expression));
  return [...found, ...added.map((expression) => `a condition approves in place of people: ${expression}`)];
}

function asksAsMuch(stage: RememberedStage, before: RememberedStage): boolean {
  return (
    stage.approvals >= before.approvals &&
    stage.from.every((matcher) => before.from.includes(matcher)) &&
    (stage.when === null || stage.when === before.when)
  );
}

function matcherText({ issuer, claims, actor }: PrincipalMatcher): string {
  const rules = claims.map(({ name, accepts }) => [name, accepts.map(({ text }) => text).sort()] as const);
  rules.sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([issuer, rules, actor === undefined ? null : matcherText(actor)]);
}
