import { z } from 'zod';
import type { Json } from '../../json.ts';
import { roleArn } from './arn.ts';
import type { SessionPlan } from './session.ts';

const handleSchema = z.object({
  role_arn: roleArn,
  session: z.string().regex(/^[\w+=,.@-]{2,64}$/),
  deny_by: z.enum(['source-identity', 'user-id']),
});

/** What denying a session needs, fixed when it was minted: a change of the settings does not change it. */
export type Handle = z.infer<typeof handleSchema>;

export function makeHandle({ roleArn: role_arn, name, sourceIdentity }: SessionPlan): Handle {
  return {
    role_arn,
    session: name,
    deny_by: sourceIdentity === undefined ? 'user-id' : 'source-identity',
  };
}

/** The handle of a lease, or null where minting never answered, or it is of another making. */
export function readHandle(handle: Json): Handle | null {
  const read = handleSchema.safeParse(handle);
  return read.success ? read.data : null;
}
