import { readFile } from 'node:fs/promises';
import type { ExplainRequest } from '../../http/contract.ts';
import type { Json } from '../../json.ts';
import { type ConnectionOptions, connect } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { printJson } from '../output.ts';
import { printExplanation } from './explanation.ts';

export interface ExplainOptions extends ConnectionOptions {
  readonly grant?: string;
  readonly issuer?: string;
  readonly subject?: string;
  readonly claim?: Readonly<Record<string, Json>>;
  readonly explainToken?: string;
  readonly task?: string;
  readonly purpose?: string;
  readonly ticket?: string;
  readonly param?: Readonly<Record<string, Json>>;
  readonly credential?: readonly string[];
  readonly ttl?: number;
}

/** Shows check by check what the policy says to a request. Done when a grant would allow it; otherwise "not allowed", or "unauthenticated" for a token that is refused. */
export async function explain(io: Io, options: ExplainOptions): Promise<number> {
  const explanation = await connect(io, options).explain(await requestOf(options));
  if (options.json) printJson(io, explanation);
  else await printExplanation(io, explanation);
  if (explanation.token?.ok === false) return EXIT.unauthenticated;
  return explanation.grants.some(({ allowed }) => allowed) ? EXIT.done : EXIT.notAllowed;
}

async function requestOf(options: ExplainOptions): Promise<ExplainRequest> {
  const { grant, task, purpose, ticket, ttl, issuer, subject, claim, explainToken } = options;
  if ((issuer === undefined) !== (subject === undefined))
    throw new UsageError('Cannot explain half an identity: give both --issuer and --subject');
  if (issuer === undefined && explainToken === undefined)
    throw new UsageError('Cannot tell whom to explain: give --issuer and --subject, or --explain-token');
  if (issuer !== undefined && explainToken !== undefined)
    throw new UsageError('Cannot explain two at once: give --explain-token, or --issuer and --subject');
  if (claim !== undefined && explainToken !== undefined)
    throw new UsageError('Cannot take --claim beside --explain-token: a token has its own claims');
  return {
    grant,
    task,
    purpose,
    ticket,
    parameters: options.param as ExplainRequest['parameters'],
    credentials: options.credential ? [...options.credential] : undefined,
    ttl_seconds: ttl,
    token: explainToken === undefined ? undefined : await readToken(explainToken),
    identity:
      issuer === undefined || subject === undefined
        ? undefined
        : { issuer, subject, claims: { sub: subject, ...(claim as Record<string, string> | undefined) } },
  };
}

/** From a file, or from standard input for `-`. What was read is in no message. */
async function readToken(file: string): Promise<string> {
  try {
    return (await readFile(file === '-' ? '/dev/stdin' : file, 'utf8')).trim();
  } catch (error) {
    throw new UsageError(
      `Cannot read the token in ${JSON.stringify(file)}: ${(error as NodeJS.ErrnoException).code}`,
    );
  }
}
