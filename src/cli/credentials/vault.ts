import type { Secret } from '../../http/contract.ts';
import type { Delivery } from './delivery.ts';

/**
 * For the `vault` and `bao` command lines and whatever reads their variables. What was read with the token, or the token
 * that opens it, is in a file as JSON.
 */
export function deliverVault(secret: Secret, place: (ending: string) => string): Delivery {
  const { address = '', namespace, token, ...rest } = secret.values;
  const file = place('json');
  const hasMore = Object.keys(rest).length > 0;
  const env = {
    VAULT_ADDR: address,
    ...(namespace === undefined ? {} : { VAULT_NAMESPACE: namespace }),
    ...(token === undefined ? {} : { VAULT_TOKEN: token }),
    ...(hasMore ? { HALLPASS_VAULT_FILE: file } : {}),
  };
  const winners = [
    'VAULT_AGENT_ADDR',
    'VAULT_PROXY_ADDR',
    'VAULT_NAMESPACE',
    'VAULT_TOKEN',
    'BAO_ADDR',
    'BAO_TOKEN',
    'BAO_NAMESPACE',
  ];
  return {
    env,
    files: hasMore ? { [file]: `${JSON.stringify(rest)}\n` } : {},
    overriding: winners.filter((name) => !Object.hasOwn(env, name)),
    suspicious: ['VAULT_SKIP_VERIFY', 'VAULT_TOKEN_FILE'],
  };
}
