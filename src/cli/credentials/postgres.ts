import type { Secret } from '../../http/contract.ts';
import type { Delivery } from './delivery.ts';

/**
 * For libpq and whatever reads its variables. The password goes through a password file, which the environment of
 * the process does not show (PostgreSQL manual, "Environment Variables" and "The Password File").
 */
export function deliverPostgres(secret: Secret, place: (ending: string) => string): Delivery {
  const { host = '', port = '5432', database = '', username = '', password = '', ca } = secret.values;
  const passwordFile = place('pgpass');
  const line = [host, port, database, username, password].map(escapeField).join(':');
  const caFile = place('ca.pem');
  return {
    env: {
      ...postgresVariables(secret),
      PGPASSFILE: passwordFile,
      ...(ca === undefined ? {} : { PGSSLROOTCERT: caFile }),
    },
    files: { [passwordFile]: `${line}\n`, ...(ca === undefined ? {} : { [caFile]: ca }) },
    overriding: ['PGPASSWORD', 'PGHOSTADDR', 'PGSERVICE', 'PGSERVICEFILE', 'PGREQUIREAUTH'],
    suspicious: ['DATABASE_URL', 'POSTGRES_URL'],
  };
}

/** The variables that name the login, without its password. */
export function postgresVariables({ values }: Secret): Record<string, string> {
  const { host = '', port = '5432', database = '', username = '', sslmode, ca } = values;
  return {
    PGHOST: host,
    PGPORT: port,
    PGDATABASE: database,
    PGUSER: username,
    ...(sslmode === undefined ? {} : { PGSSLMODE: sslmode }),
    // Without it libpq looks for ~/.postgresql/root.crt, and for nothing else.
    ...(sslmode === 'verify-full' && ca === undefined ? { PGSSLROOTCERT: 'system' } : {}),
  };
}

function escapeField(text: string): string {
  return text.replace(/[\\:]/g, '\\$&');
}
