import { COMMIT_PARTS, type CommitPart } from '../../src/store/commit.sql.ts';

const NAME = /^commit_group_([0-9a-z]*)$/;

/** Whether a statement is the group commit's, by its name. */
export function isCommit(name: string): boolean {
  return NAME.test(name);
}

/** The rows of one part that a group commit takes; none where the group has none. */
export function committedRows<Row>(
  name: string,
  parameters: readonly unknown[],
  part: CommitPart,
): readonly Row[] {
  const digit = COMMIT_PARTS.indexOf(part).toString(36);
  const position = NAME.exec(name)?.[1]?.indexOf(digit) ?? -1;
  return position < 0 ? [] : (JSON.parse(String(parameters[position + 1])) as Row[]);
}
