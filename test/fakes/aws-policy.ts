/** IAM's policy evaluation, as far as the tests need it: IAM user guide, "Policy evaluation logic". */

export interface Statement {
  readonly Effect: 'Allow' | 'Deny';
  readonly Action?: string | readonly string[];
  readonly NotAction?: string | readonly string[];
  readonly Resource?: string | readonly string[];
  readonly NotResource?: string | readonly string[];
  readonly Principal?: { readonly AWS?: string; readonly Federated?: string };
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

export interface PolicyDocument {
  readonly Version?: string;
  readonly Statement: Statement | readonly Statement[];
}

/** What is asked, by whom, and when. */
export interface PolicyRequest {
  readonly action: string;
  readonly resource: string;
  /** Context keys, in lower case as IAM compares them. */
  readonly context: Readonly<Record<string, string>>;
}

/** What these policies say together: a Deny in any of them is final. */
export function evaluate(
  documents: readonly PolicyDocument[],
  request: PolicyRequest,
): 'allow' | 'deny' | 'silent' {
  const applying = documents
    .flatMap((document) => document.Statement as Statement | Statement[])
    .filter((statement) => applies(statement, request));
  if (applying.some(({ Effect }) => Effect === 'Deny')) return 'deny';
  return applying.length > 0 ? 'allow' : 'silent';
}

function applies(statement: Statement, { action, resource, context }: PolicyRequest): boolean {
  const { Action, NotAction, Resource, NotResource, Condition } = statement;
  const actionFits =
    Action === undefined ? !matchesAny(NotAction, action, true) : matchesAny(Action, action, true);
  const resourceFits =
    Resource === undefined
      ? NotResource === undefined || !matchesAny(NotResource, resource)
      : matchesAny(Resource, resource);
  const conditions = Object.entries(Condition ?? {});
  return (
    actionFits &&
    resourceFits &&
    conditions.every(([operator, tests]) =>
      Object.entries(tests).every(([key, expected]) => holds(operator, context[key.toLowerCase()], expected)),
    )
  );
}

function holds(operator: string, found: string | undefined, expected: string | readonly string[]): boolean {
  if (found === undefined) return false;
  const wanted = [expected].flat();
  switch (operator) {
    case 'StringEquals':
      return wanted.includes(found);
    case 'StringLike':
      return matchesAny(wanted, found);
    case 'DateGreaterThanEquals':
      return wanted.some((one) => Date.parse(found) >= Date.parse(one));
    case 'DateLessThan':
      return wanted.some((one) => Date.parse(found) < Date.parse(one));
    default:
      throw new Error(`The fake knows no condition operator ${operator}`);
  }
}

function matchesAny(
  patterns: string | readonly string[] | undefined,
  text: string,
  ignoreCase = false,
): boolean {
  return [patterns ?? []].flat().some((pattern) => {
    const source = pattern
      .replace(/[\\^$+.()|[\]{}]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.');
    return new RegExp(`^(?:${source})$`, ignoreCase ? 'is' : 's').test(text);
  });
}
