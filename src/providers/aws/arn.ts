import { z } from 'zod';

const ROLE = /^arn:(aws[a-z-]*):iam::(\d{12}):role\/((?:[\x21-\x7e]+\/)?)([\w+=,.@-]{1,64})$/;

/** The ARN of a role, with its path (IAM user guide, "IAM identifiers"). */
export const roleArn = z
  .string()
  .max(600)
  .regex(ROLE, 'must be the ARN of a role, such as arn:aws:iam::123456789012:role/reports');

export interface Role {
  readonly partition: string;
  readonly account: string;
  /** Without the path: what IAM's API takes, and what the ARN of a session names. */
  readonly name: string;
}

export function parseRoleArn(arn: string): Role {
  const [, partition = 'aws', account = '', , name = ''] = ROLE.exec(arn) ?? [];
  return { partition, account, name };
}
