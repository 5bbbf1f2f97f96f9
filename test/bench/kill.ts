/**
 * Marks 100,000 live leases of one subject by one kill, on a real Postgres with fsync on, and says how long the order
 * and the marking took: `node test/bench/kill.ts`.
 */
import pino from 'pino';
import { systemRuntime } from '../../src/runtime.ts';
import { openDatabase } from '../../src/store/database.ts';
import { markKill, orderKill } from '../../src/store/kills.ts';
import { migrate } from '../../src/store/migrate.ts';
import { startPostgres } from '../support/postgres.ts';
import { killRow } from '../support/rows.ts';
import { MIGRATIONS } from '../support/stores.ts';

const LEASES = 100_000;
const log = pino();
const postgres = await startPostgres({
  version: '18',
  settings: { fsync: 'on', shared_buffers: '512MB', max_wal_size: '8GB' },
});
const database = await openDatabase({ url: postgres.adminUrl, directory: null });
try {
  await migrate(database, MIGRATIONS);
  for (const subject of ['stolen', 'other']) await fill(subject);
  await database.script('analyze');
  for (const [what, match] of [
    ['subject', { issuer: 'ci', subject: 'stolen' }],
    ['target', { target: 'warehouse' }],
  ] as const) {
    const row = killRow(systemRuntime, match);
    const begin = performance.now();
    const event = { kind: 'kill.ordered', actor: { kind: 'system' }, about: {} } as const;
    await orderKill(database, systemRuntime, row, [], {
      ...event,
      data: { id: row.id, reason: row.reason, match: {} },
    });
    const ordered = performance.now();
    await markKill(database, row, systemRuntime.now());
    const marked = performance.now();
    log.info({ what, orderMs: Math.round(ordered - begin), markMs: Math.round(marked - ordered) }, 'killed');
  }
} finally {
  await database.close();
  await postgres.stop();
}

function fill(subject: string): Promise<void> {
  return database.script(`
    insert into task (id, version, state, grant_name, grant_version, name, parameters, issuer, subject, principal,
      token_hash, request_digest, opened_at, expires_at)
    select '${subject}' || n, 1, 'open', 'report', 'v1', 'nightly', '{}', 'ci', '${subject}', '{}', 'h', 'd', now(),
      now() + interval '1 hour' from generate_series(1, ${LEASES}) n;
    insert into lease (id, task_id, version, state, credential, grant_name, target, provider, name, issuer, subject,
      scope, counted, created_at, issued_at, expires_at, cap_at, due_at)
    select '${subject}' || n, '${subject}' || n, 2, 'active', 'db', 'report', 'warehouse', 'postgres', 'n' || n, 'ci',
      '${subject}', '{}', false, now(), now(), now() + interval '1 hour', now() + interval '1 hour',
      now() + interval '1 hour' from generate_series(1, ${LEASES}) n`);
}
