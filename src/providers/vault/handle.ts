import { z } from 'zod';
import type { Json } from '../../json.ts';
import type { VaultSettings } from './settings.ts';

/** What ending needs. An accessor can end a token and tell of it, but cannot be used in its place. */
const handleSchema = z.object({
  accessor: z.string().min(1),
  /** Vault's leases under the token. */
  leases: z.array(z.string()),
  /** Names of what cannot be withdrawn and lapses at `lapsesAt`. */
  lapsing: z.array(z.string()),
  lapsesAt: z.number().nullable(),
  /** Names of secrets that outlive the lease. */
  static: z.array(z.string()),
  /** The address of the Vault that made it, and its namespace. */
  madeAt: z.string().optional(),
});

export type VaultHandle = z.infer<typeof handleSchema>;

export function readHandle(handle: Json): VaultHandle | null {
  return handleSchema.safeParse(handle).data ?? null;
}

export function placeOf({ address, namespace }: VaultSettings): string {
  return namespace === undefined ? address : `${address} (${namespace})`;
}
