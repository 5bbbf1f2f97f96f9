import type { AccessRule } from '../grants/access.ts';
import type { Human } from '../grants/grant.ts';
import type { GrantWorld } from '../grants/parse.ts';
import { parsePrincipalMatcher } from '../grants/principal.ts';
import type { AttestorKind } from '../identity/attestor.ts';
import { digestJson, type Json } from '../json.ts';
import type { ProviderKind } from '../providers/provider.ts';
import { err, ok, type Result } from '../result.ts';
import { auditConfig } from './audit.ts';
import { brokerConfig, databaseFaults, keysConfig } from './broker.ts';
import type { Config, Kinds } from './config.ts';
import { inEnvironment, override, placer, readDocument } from './document.ts';
import { type Environment, environmentFaults } from './environment.ts';
import { fallbackFaults } from './fallbacks.ts';
import type { ReadFile } from './files.ts';
import { readGrants, readWithdrawn, refuseUnnamed, withScopes } from './grants.ts';
import { loadIssuers, loadTargets } from './kinds.ts';
import { notificationsConfig, outsideFaults, signalsConfig } from './notifications.ts';
import { packagedProviders } from './packages.ts';
import { type ConfigFault, inOrder } from './report.ts';
import type { RawConfig } from './schema.ts';
import type { Loading, Members } from './secrets.ts';
import { expandSection, readSections } from './sections.ts';
import { signInConfig } from './sign-in.ts';

export interface LoadOptions {
  readonly path: string;
  readonly env: Environment;
  readonly readFile: ReadFile;
  readonly attestors: Kinds<AttestorKind>;
  readonly providers: Kinds<ProviderKind>;
}

/**
 * Reads the configuration, whole: the file, the files and variables that it refers to, and the environment. All
 * faults are reported together, in the order of the file, each with its place and with what to write instead.
 */
export async function loadConfig(options: LoadOptions): Promise<Result<Config, ConfigFault[]>> {
  const { path, env, readFile } = options;
  const loading: Loading = { path, env, readFile, faults: [], warnings: [], written: new Map() };
  const strays = environmentFaults(env).map((fault) => inEnvironment(fault));
  const document = await readDocument(path, readFile);
  if (!document.ok) return err(inOrder([...strays, ...document.error]));
  const place = placer(path, document.value, loading, env);
  const config = await build(options, override(document.value.value, env), loading);
  const faults = [...strays, ...loading.faults.map(place)];
  if (faults.length > 0 || config === null) return err(inOrder(faults));
  return ok({ ...config, warnings: inOrder(loading.warnings.map(place)) });
}

async function build(
  options: LoadOptions,
  raw: Json,
  loading: Loading,
): Promise<Omit<Config, 'warnings'> | null> {
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw)) {
    loading.faults.push({
      path: [],
      message: 'Expected a map with broker, issuers, targets, grants and access',
    });
    return null;
  }
  const members = raw as Members;
  const database = await expandSection(members, 'database', loading);
  const keys = await expandSection(members, 'keys', loading);
  const expanded = await expandSection(members, 'audit', loading);
  const notifications = await expandSection(members, 'notifications', loading);
  const signals = await expandSection(members, 'signals', loading);
  const signingIn = await expandSection(members, 'sign_in', loading);
  const outside = { ...notifications?.value, ...signals?.value, ...signingIn?.value };
  const sections = readSections(
    { ...members, ...database?.value, ...keys?.value, ...expanded?.value, ...outside },
    loading,
  );
  const issuers = await loadIssuers(
    sections.issuers ?? {},
    options.attestors,
    {
      url: sections.broker?.url ?? '',
      asksForCertificates: sections.broker?.tls?.client_certificates !== undefined,
    },
    loading,
  );
  const packages = await packagedProviders(sections.providers ?? {}, options.providers, loading);
  const targets = await loadTargets(sections.targets ?? {}, { ...packages, ...options.providers }, loading);
  const world: GrantWorld = { issuers: issuers.world, targets: targets.world };
  const grants = readGrants(sections.grants ?? {}, world, targets.broken, loading);
  const withdrawn = readWithdrawn(sections, loading);
  const access = readAccess(sections.access ?? [], world, loading);
  const audit = auditConfig(sections.audit, world, loading);
  const people = readPeople(sections.people ?? [], world, loading);
  refuseUnnamed(grants, people, loading);
  loading.faults.push(...fallbackFaults(issuers.configured, people));
  loading.faults.push(...outsideFaults(sections, world.issuers));
  const signIn = signInConfig(sections.sign_in, issuers, loading);
  const broker = sections.broker === undefined ? null : await brokerConfig(sections.broker, loading);
  const keysInForce = sections.keys === undefined ? null : keysConfig(sections.keys, loading);
  loading.faults.push(...databaseFaults(sections.database));
  if (
    access.some(({ role }) => role === 'orchestrator') &&
    ![...grants.values()].some((grant) => grant.taskGrants !== null)
  )
    loading.warnings.push({
      path: ['access'],
      message: 'Somebody is an orchestrator, and no grant allows task_grants',
    });
  if (broker === null || sections.log === undefined) return null;
  const shown = {
    ...members,
    ...database?.shown,
    ...expanded?.shown,
    ...keys?.shown,
    ...notifications?.shown,
    ...signals?.shown,
    ...signingIn?.shown,
    issuers: issuers.shown,
    targets: targets.shown,
  };
  return {
    path: options.path,
    digest: digestJson(shown),
    parts: partsOf(shown),
    broker,
    database: sections.database ?? null,
    keys: keysInForce,
    issuers: issuers.configured,
    targets: withScopes(targets.configured, members.grants),
    grants,
    withdrawn,
    access,
    people,
    signIn,
    audit,
    notifications: notificationsConfig(sections.notifications ?? []),
    signals: signalsConfig(sections.signals),
    log: sections.log,
  };
}

/** The digest of each named thing in the maps of the file, and of each other section. */
function partsOf(shown: Members): Readonly<Record<string, string>> {
  const parts: Record<string, string> = {};
  for (const [section, value] of Object.entries(shown)) {
    if (!NAMED.has(section) || value === null || typeof value !== 'object')
      parts[section] = digestJson(value);
    else for (const [name, member] of Object.entries(value)) parts[`${section}.${name}`] = digestJson(member);
  }
  return parts;
}

/** Sections that are maps of named things. */
const NAMED: ReadonlySet<string> = new Set(['issuers', 'targets', 'grants']);

function readAccess(raw: RawConfig['access'], world: GrantWorld, loading: Loading): AccessRule[] {
  return raw.map(({ role, ...who }, i) => ({
    role,
    who: parsePrincipalMatcher(who, world.issuers, ['access', i], loading.faults),
  }));
}

function readPeople(raw: RawConfig['people'], world: GrantWorld, loading: Loading): Human[] {
  return raw.map(({ name, identities }, i) => ({
    name,
    who: identities.map((identity, j) =>
      parsePrincipalMatcher(identity, world.issuers, ['people', i, 'identities', j], loading.faults),
    ),
  }));
}
