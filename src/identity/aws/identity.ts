import { XMLParser } from 'fast-xml-parser';
import { z } from 'zod';
import { err, ok, type Result } from '../../result.ts';

/** Who STS says it is. */
export interface CallerIdentity {
  readonly arn: string;
  readonly account: string;
  readonly partition: string;
  readonly type: 'assumed-role' | 'federated-user' | 'user' | 'root';
  /** The unique id of the role or user, which no other ever gets. */
  readonly uniqueId: string;
  readonly role?: string;
  readonly session?: string;
  readonly user?: string;
}

const text = z.string().min(1).max(2_048);

const answer = z.object({
  GetCallerIdentityResponse: z.object({
    GetCallerIdentityResult: z.object({ Arn: text, UserId: text, Account: z.string().regex(/^\d{12}$/) }),
  }),
});

const failure = z.object({
  ErrorResponse: z.object({ Error: z.object({ Code: z.string().regex(/^[A-Za-z.]{1,64}$/) }) }),
});

const ARN =
  /^arn:(aws(?:-[a-z]+)*):(?:sts|iam)::(\d{12}):(?:(assumed-role)\/([\w+=,.@-]{1,64})\/([\w+=,.@-]{1,64})|(federated-user)\/([\w+=,.@-]{1,64})|(user)\/(?:[\x21-\x7e]{0,512}\/)?([\w+=,.@-]{1,64})|(root))$/;

/** Reads the answer of GetCallerIdentity: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html */
export function readIdentity(xml: Uint8Array): Result<CallerIdentity, string> {
  const parsed = answer.safeParse(parseXml(xml));
  if (!parsed.success) return err('the answer names nobody');
  const {
    Arn: arn,
    UserId: userId,
    Account: account,
  } = parsed.data.GetCallerIdentityResponse.GetCallerIdentityResult;
  const match = ARN.exec(arn);
  if (match === null || match[2] !== account) return err('the answer names somebody of no known kind');
  const [, partition = '', , assumed, role, session, federated, federatedUser, user, userName] = match;
  const [uniqueId = ''] = userId.split(':');
  const common = { arn, account, partition, uniqueId };
  if (assumed === 'assumed-role' && role !== undefined && session !== undefined) {
    return userId === `${uniqueId}:${session}`
      ? ok({ ...common, type: assumed, role, session })
      : err('the answer names one session in two ways');
  }
  if (federated === 'federated-user' && federatedUser !== undefined)
    return ok({ ...common, type: federated, user: federatedUser });
  if (user === 'user' && userName !== undefined) return ok({ ...common, type: user, user: userName });
  return ok({ ...common, type: 'root' });
}

/** The code of a refusal, for the operator; null where there is none. */
export function refusalCode(xml: Uint8Array): string | null {
  const parsed = failure.safeParse(parseXml(xml));
  return parsed.success ? parsed.data.ErrorResponse.Error.Code : null;
}

/** Elements as text, nothing coerced and no entity resolved. An answer has no declarations of its own. */
function parseXml(xml: Uint8Array): unknown {
  const source = Buffer.from(xml).toString('utf8');
  if (source.includes('<!')) return undefined;
  try {
    return new XMLParser({ parseTagValue: false, ignoreAttributes: true, processEntities: false }).parse(
      source,
    );
  } catch {
    return undefined;
  }
}
