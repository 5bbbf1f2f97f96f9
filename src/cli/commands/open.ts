import type { OpenTaskRequest } from '../../http/contract.ts';
import type { AskOptions } from '../options.ts';

/** The request that the options describe. */
export function openRequest(options: AskOptions): Omit<OpenTaskRequest, 'public_key'> {
  return {
    grant: options.grant,
    task: options.task,
    ...(options.purpose === undefined ? {} : { purpose: options.purpose }),
    ...(options.ticket === undefined ? {} : { ticket: options.ticket }),
    ...(options.param ? { parameters: options.param as NonNullable<OpenTaskRequest['parameters']> } : {}),
    ...(options.credential ? { credentials: [...options.credential] } : {}),
    ...(options.ttl === undefined ? {} : { ttl_seconds: options.ttl }),
    ...(options.practice ? { practice: true as const } : {}),
    ...(options.notBefore === undefined ? {} : { not_before: options.notBefore }),
    ...(options.taskGrant === undefined ? {} : { task_grant: options.taskGrant }),
  };
}
