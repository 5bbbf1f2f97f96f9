import type { Client } from 'pg';

/** Ids as the broker makes them: `kind` keeps those of one filling apart from those of another. */
const ID = (kind: number) => `'${kind}' || lpad(n::text, 25, '0')`;

export interface Standing {
  /** Tells this filling from others: one digit. */
  readonly kind: number;
  /** It is called as its provider is. */
  readonly target: string;
  readonly leases: number;
  /** SQL for the instant at which lease `n` is due; it expires then as well. */
  readonly dueAt: string;
  /** SQL for the handle of lease `n`. */
  readonly handle?: string;
}

/** Puts live leases into the store, each with its task, as if they had been issued one by one. */
export async function fillLeases(store: Client, mark: string, standing: Standing): Promise<void> {
  const { kind, target, leases, dueAt, handle = `'{}'::jsonb` } = standing;
  const batch = 100_000;
  for (let from = 1; from <= leases; from += batch) {
    const numbers = `generate_series(${from}, ${Math.min(leases, from + batch - 1)}) n`;
    await store.query(`
      insert into task (id, version, state, grant_name, grant_version, name, parameters, issuer, subject, principal,
        token_hash, request_digest, opened_at, expires_at)
      select ${ID(kind)}, 1, 'open', 'memory', 'v1', 'bench', '{}', 'ci', 'job-' || n, '{}', 'h', 'd', now(),
        ${dueAt} + interval '1 day'
      from ${numbers}`);
    await store.query(`
      insert into lease (id, task_id, version, state, credential, grant_name, target, provider, name, issuer, subject,
        scope, counted, created_at, issued_at, expires_at, cap_at, due_at, handle)
      select ${ID(kind)}, ${ID(kind)}, 2, 'active', 'c', 'memory', '${target}', '${target}', '${mark}' || ${ID(kind)}, 'ci',
        'job-' || n, '{}', false, now(), now(), ${dueAt}, ${dueAt}, ${dueAt}, ${handle}
      from ${numbers}`);
  }
  await store.query('analyze task; analyze lease');
}

/** How this installation's credentials begin. */
export async function markOf(store: Client): Promise<string> {
  const { rows } = await store.query<{ mark: string }>('select mark from installation');
  return `hp_${rows[0]?.mark}_`;
}
