import type { Secret } from '../../http/contract.ts';
import type { Delivery } from './delivery.ts';

/** For a type that we know no better way for: the secret as JSON in a file. */
export function deliverFile(secret: Secret, place: (ending: string) => string): Delivery {
  const file = place('json');
  return {
    env: { HALLPASS_CREDENTIAL_FILE: file },
    files: { [file]: `${JSON.stringify(secret)}\n` },
    overriding: [],
    suspicious: [],
  };
}
