import { z } from 'zod';
import { ProviderError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import { lapsesElsewhere } from '../elsewhere.ts';
import type { Ended, Ending } from '../provider.ts';
import { saysUnknown } from './errors.ts';
import { placeOf, readHandle } from './handle.ts';
import { FIRST_WAIT_MS, LONGEST_WAIT_MS, MAX_WAITS } from './limits.ts';
import { anything, type VaultContext } from './mint.ts';

const lookupSchema = z.object({ data: z.object({ id: z.string() }) });

/**
 * Revokes the token, sees that it is gone, and that each of Vault's leases under it is. Vault revokes those in the
 * background, and gives one up after six failures: it is then revoked once more by name, and as long as Vault holds it,
 * this fails.
 */
export async function end(context: VaultContext, ending: Ending, signal: AbortSignal): Promise<Ended> {
  const handle = readHandle(ending.handle);
  if (handle === null) {
    // Nobody received it, and Vault finds no token by our name.
    const evidence = {
      token: 'unknown: the answer to its making was lost',
      lapses: 'by its own time to live',
    };
    return { found: false, evidence, lapsesAt: ending.expiresAt };
  }
  const { accessor, leases } = handle;
  const wasThere = await revokeToken(context, accessor, signal);
  await mustBeGone(context, accessor, signal);
  const revokedByName: string[] = [];
  for (const lease of leases) {
    if (!(await awaitLease(context, lease, wasThere, signal))) revokedByName.push(lease);
  }
  const evidence = {
    accessor,
    token: wasThere ? 'revoked, and not found afterwards' : 'not found',
    leases: leases.length,
    ...(revokedByName.length === 0 ? {} : { revokedByName }),
    ...(handle.lapsing.length === 0 ? {} : { lapsing: handle.lapsing }),
    ...(handle.static.length === 0 ? {} : { outliving: handle.static }),
  };
  const found = wasThere || revokedByName.length > 0;
  const lapsesAt =
    handle.lapsesAt ??
    (found
      ? null
      : lapsesElsewhere({
          doing: 'end a token',
          madeAt: handle.madeAt,
          address: placeOf(context.settings),
          expiresAt: ending.expiresAt,
          now: context.runtime.now(),
        }));
  return { found, evidence, ...(lapsesAt === null ? {} : { lapsesAt }) };
}

async function revokeToken(
  { connection }: VaultContext,
  accessor: string,
  signal: AbortSignal,
): Promise<boolean> {
  const request = { path: 'auth/token/revoke-accessor', data: { accessor } };
  try {
    await connection.asBroker('revoke a token', anything, request, signal);
    return true;
  } catch (error) {
    if (saysUnknown(error, 'accessor')) return false;
    throw error;
  }
}

async function mustBeGone(
  { connection }: VaultContext,
  accessor: string,
  signal: AbortSignal,
): Promise<void> {
  const request = { path: 'auth/token/lookup-accessor', data: { accessor } };
  try {
    await connection.asBroker('look for a revoked token', anything, request, signal);
  } catch (error) {
    if (saysUnknown(error, 'accessor')) return;
    throw error;
  }
  throw new ProviderError('target-failed', 'Cannot confirm the end of a token: Vault still knows it');
}

/** Whether Vault's lease went with its token. If it did not, it is revoked by name, and false says that this was needed. */
async function awaitLease(
  context: VaultContext,
  lease: string,
  mayTakeTime: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  for (let wait = 0; wait < (mayTakeTime ? MAX_WAITS : 1); wait++) {
    if (await isGone(context, lease, signal)) return true;
    if (mayTakeTime) await pause(context.runtime, wait, signal);
  }
  const request = { path: 'sys/leases/revoke', data: { lease_id: lease, sync: true } };
  try {
    await context.connection.asBroker(`revoke "${lease}"`, anything, request, signal);
  } catch (error) {
    if (saysUnknown(error, 'lease')) return true;
    throw error;
  }
  if (await isGone(context, lease, signal)) return false;
  throw new ProviderError('target-failed', `Cannot confirm the end of "${lease}": Vault still holds it`);
}

async function isGone({ connection }: VaultContext, lease: string, signal: AbortSignal): Promise<boolean> {
  const request = { path: 'sys/leases/lookup', data: { lease_id: lease } };
  try {
    await connection.asBroker(`look for "${lease}"`, lookupSchema, request, signal);
    return false;
  } catch (error) {
    if (saysUnknown(error, 'lease')) return true;
    throw error;
  }
}

async function pause(runtime: Runtime, wait: number, signal: AbortSignal): Promise<void> {
  try {
    await runtime.sleep(Math.min(FIRST_WAIT_MS * 2 ** wait, LONGEST_WAIT_MS), signal);
  } catch (cause) {
    throw new ProviderError('target-timeout', 'Cannot end a token: what it read is not revoked yet', {
      cause,
    });
  }
}
