import { conditionCompiler } from './condition.ts';
import type { Fault, Path } from './fault.ts';
import type { ApprovalRule, Condition } from './grant.ts';
import type { ParsedParameter } from './parameter.ts';
import { parsePrincipalMatcher } from './principal.ts';
import type { RawGrant } from './schema.ts';
import type { IssuerInWorld } from './width.ts';

/** What whoever asks may write as he likes: a condition over these alone asks himself. */
const HIS_OWN_WORDS: ReadonlySet<string> = new Set(['purpose', 'ticket']);

/** Reads who must approve. A rule that could come to need nobody, without saying when, is a fault. */
export function parseApproval(
  read: RawGrant,
  parameters: ReadonlyMap<string, ParsedParameter>,
  issuers: ReadonlyMap<string, IssuerInWorld>,
  faults: Fault[],
): ApprovalRule | null {
  if (read.approval === undefined) return null;
  const compile = (expression: string, path: Path): Condition[] => {
    const condition = conditionCompiler(parameters).compile(expression);
    if (typeof condition !== 'string') return [condition];
    faults.push({ path, message: condition });
    return [];
  };
  const stages = read.approval.stages.map(({ from, approvals, when }, i) => {
    const at = ['approval', 'stages', i];
    return {
      approvals,
      from: from.map((raw, j) => parsePrincipalMatcher(raw, issuers, [...at, 'from', j], faults)),
      when: when === undefined ? null : (compile(when, [...at, 'when'])[0] ?? null),
    };
  });
  if (read.approval.stages.every(({ when }) => when !== undefined)) {
    const message =
      'Nobody might be asked: every stage has a condition; leave when out of one, and write what needs nobody into auto_approve';
    faults.push({ path: ['approval', 'stages'], message });
  }
  const autoApprove = (read.approval.auto_approve ?? []).flatMap((expression, i) => {
    const path = ['approval', 'auto_approve', i];
    const compiled = compile(expression, path);
    for (const { variables } of compiled)
      if (variables.every((name) => HIS_OWN_WORDS.has(name)))
        faults.push({
          path,
          message:
            'Whoever asks could approve himself: this reads nothing that he cannot write as he likes; look at claims, actors, parameters, task or now',
        });
    return compiled;
  });
  return { stages, autoApprove, lapseSeconds: read.approval.lapse };
}
