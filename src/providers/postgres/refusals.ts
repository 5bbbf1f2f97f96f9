import type { PostgresSettings } from './settings.ts';
import { statementFaults, templateFaults } from './statements.ts';

/** Roles that are a way to become superuser, to read or write everything, or to disturb others, by name. */
const TOO_POWERFUL: ReadonlySet<string> = new Set([
  // PostgreSQL manual, section 21.5, "Predefined Roles"
  'pg_execute_server_program',
  'pg_read_server_files',
  'pg_write_server_files',
  'pg_read_all_data',
  'pg_write_all_data',
  'pg_signal_backend',
  'pg_signal_autovacuum_worker',
  'pg_checkpoint',
  'pg_create_subscription',
  'pg_use_reserved_connections',
  'pg_database_owner',
  // Administrators of managed services
  'postgres',
  'rds_superuser',
  'rds_replication',
  'rdsadmin',
  'cloudsqlsuperuser',
  'cloudsqladmin',
  'alloydbsuperuser',
  'azure_pg_admin',
  'azure_superuser',
  'neon_superuser',
  'supabase_admin',
]);

/** Settings that load code into sessions, or lift what protects others. */
const REFUSED_SETTINGS: ReadonlySet<string> = new Set([
  'session_preload_libraries',
  'local_preload_libraries',
  'shared_preload_libraries',
  'dynamic_library_path',
  'session_replication_role',
  'session_authorization',
  'allow_system_table_mods',
  'lo_compat_privileges',
]);

/** Settings whose value is a list: as one string they would be one quoted name. */
const LISTS: ReadonlySet<string> = new Set(['search_path', 'temp_tablespaces']);

/** The parts of a scope that are looked at, whether its templates are filled in or not. */
interface Refusable {
  readonly roles?: unknown;
  readonly statements?: unknown;
  readonly settings?: unknown;
}

/** Faults of a scope as the configuration writes it. */
export function refuseScope(scope: unknown, settings: PostgresSettings): string[] {
  const { statements } = isRecord(scope) ? scope : {};
  const templates = strings(statements).flatMap((sql, index) =>
    templateFaults(sql).map((fault) => `statements[${index}]: ${fault}`),
  );
  return [...dangers(scope, settings), ...templates];
}

/**
 * Faults of a scope that hold whatever its templates are. Looked for at load, and again before each mint: a
 * parameter may have brought them in.
 */
export function dangers(scope: unknown, settings: PostgresSettings): string[] {
  if (!isRecord(scope)) return [];
  const { roles, statements, settings: roleSettings }: Refusable = scope;
  const faults: string[] = [];
  for (const role of strings(roles)) {
    if (role === settings.username) {
      faults.push(`roles: "${role}" is the broker's own role at this target: grant a role of your own`);
    } else if (TOO_POWERFUL.has(role)) {
      faults.push(`roles: "${role}" is too powerful: grant a role that holds what the task needs`);
    }
  }
  const forbiddenNames = new Set([...TOO_POWERFUL, settings.username]);
  for (const [index, sql] of strings(statements).entries()) {
    faults.push(...statementFaults(sql, forbiddenNames).map((fault) => `statements[${index}]: ${fault}`));
  }
  if (isRecord(roleSettings)) faults.push(...settingFaults(roleSettings, strings(roles)));
  return faults;
}

function settingFaults(settings: Readonly<Record<string, unknown>>, roles: readonly string[]): string[] {
  const faults: string[] = [];
  for (const [name, value] of Object.entries(settings)) {
    if (REFUSED_SETTINGS.has(name)) faults.push(`settings.${name}: not for a grant: remove it`);
    if (name === 'role' && !(typeof value === 'string' && roles.includes(value))) {
      faults.push(`settings.role: write one of the roles that are granted`);
    }
    if (LISTS.has(name) && typeof value === 'string' && value.includes(',')) {
      faults.push(`settings.${name}: write a list, for instance ["reporting", "public"]`);
    }
    if (Array.isArray(value) && !LISTS.has(name)) {
      faults.push(`settings.${name}: write one value, not a list`);
    }
  }
  return faults;
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
