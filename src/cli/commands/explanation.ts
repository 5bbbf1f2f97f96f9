import type { Explanation } from '../../http/contract.ts';
import type { Io } from '../io.ts';
import { printTable, say } from '../output.ts';

type ExplainedGrant = Explanation['grants'][number];

/** Shows who it is and, grant by grant, what was expected and what there was: first what matches, then what came nearest. */
export async function printExplanation(io: Io, { identity, token, grants }: Explanation): Promise<void> {
  if (token)
    say(io, token.ok ? 'The token is good' : `The token is refused: ${token.reason}: ${token.detail}`);
  if (identity)
    say(io, `It is ${JSON.stringify(identity.subject)} of issuer ${JSON.stringify(identity.issuer)}`);
  if (identity && !grants.some(({ allowed }) => allowed)) say(io, nearest(grants));
  const rows = [...grants]
    .sort((a, b) => missing(a).length - missing(b).length)
    .flatMap((grant) => [
      [grant.grant, grant.allowed ? 'ALLOWED' : 'REFUSED', '', '', ''],
      ...grant.checks.map((check) => [
        '',
        check.ok ? 'ok' : 'NO',
        check.subject,
        check.expected,
        check.actual,
      ]),
    ]);
  await printTable(io, ['grant', 'verdict', 'check', 'expected', 'actual'], rows);
}

function missing({ checks }: ExplainedGrant) {
  return checks.filter(({ ok }) => !ok);
}

function nearest(grants: readonly ExplainedGrant[]): string {
  const [first] = [...grants].sort((a, b) => missing(a).length - missing(b).length);
  if (first === undefined) return 'No grant is there to match';
  const what = missing(first).map(({ subject }) => subject);
  return `No grant allows it; ${JSON.stringify(first.grant)} is nearest, but for ${what.join(', ')}`;
}
