import { z } from 'zod';
import type { AccessRule } from '../grants/access.ts';
import { unnamedPeople } from '../grants/break-glass.ts';
import { type Fault, type Path, printPath, quote, schemaFaults, suggest } from '../grants/fault.ts';
import type { Grant, Human } from '../grants/grant.ts';
import { type GrantWorld, parseGrant } from '../grants/parse.ts';
import { parsePrincipalMatcher } from '../grants/principal.ts';
import { configName } from '../grants/schema.ts';
import type { AttestorKind } from '../identity/attestor.ts';
import { digestJson, type Json } from '../json.ts';
import type { ProviderKind } from '../providers/provider.ts';
import { err, ok, type Result } from '../result.ts';
import { auditConfig } from './audit.ts';
import { brokerConfig, databaseFaults, keysConfig } from './broker.ts';
import type { Config, ConfiguredTarget, Kinds } from './config.ts';
import { type Environment, environmentFaults, overrides } from './environment.ts';
import { fallbackFaults } from './fallbacks.ts';
import { type ReadFile, readFault } from './files.ts';
import { loadIssuers, loadTargets } from './kinds.ts';
import { MAX_FILE_BYTES } from './limits.ts';
import { notificationsConfig, outsideFaults, signalsConfig } from './notifications.ts';
import { packagedProviders } from './packages.ts';
import { type ConfigFault, inOrder } from './report.ts';
import { configSchema, type RawConfig } from './schema.ts';
import { type Expanded, expandSettings, type Loading } from './secrets.ts';
import { signInConfig } from './sign-in.ts';
import { readYaml, type YamlDocument } from './yaml.ts';

export interface LoadOptions {
  readonly path: string;
  readonly env: Environment;
  readonly readFile: ReadFile;
  readonly attestors: Kinds<AttestorKind>;
  readonly providers: Kinds<ProviderKind>;
}

type Members = { readonly [key: string]: Json };

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

async function readDocument(path: string, readFile: ReadFile): Promise<Result<YamlDocument, ConfigFault[]>> {
  const whole = { file: path, line: null, column: null, path: '' };
  let bytes: Uint8Array;
  try {
    ({ bytes } = await readFile(path, MAX_FILE_BYTES));
  } catch (error) {
    const message = `Cannot read the configuration: ${readFault(error)}; name another by --config or HALLPASS_CONFIG`;
    return err([{ ...whole, message }]);
  }
  const document = readYaml(bytes);
  if (document.ok) return document;
  return err(
    document.error.map(({ path: at, message, position }) => ({
      ...whole,
      line: position?.line ?? null,
      column: position?.column ?? null,
      path: printPath(at),
      message,
    })),
  );
}

function inEnvironment({ path, message }: Fault): ConfigFault {
  return { file: 'environment', line: null, column: null, path: printPath(path), message };
}

/** Finds where a fault stands: in the file, or in a variable that replaces what the file says. */
function placer(path: string, document: YamlDocument, loading: Loading, env: Environment) {
  const replaced = new Map(overrides(env).map(({ path: at, variable }) => [printPath(at), variable]));
  return (fault: Fault): ConfigFault => {
    const printed = printPath(fault.path);
    const variable = replaced.get(printed) ?? replaced.get(printed.replace(/_env$/, ''));
    if (variable !== undefined) return inEnvironment({ ...fault, path: [variable] });
    const at = loading.written.get(printed) ?? fault.path;
    const position = document.positionOf(at);
    const { line = null, column = null } = position ?? {};
    return { file: path, line, column, path: printPath(at), message: fault.message };
  };
}

/** The file's content with what the environment replaces. A secret becomes a reference to its variable. */
function override(raw: Json, env: Environment): Json {
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw)) return raw;
  const whole: Record<string, Json> = { ...(raw as Members) };
  for (const { variable, path, value } of overrides(env)) {
    const [section = '', key = ''] = path.map(String);
    const before = whole[section] ?? {};
    if (typeof before !== 'object' || Array.isArray(before)) continue;
    const { [key]: _, [`${key}_file`]: __, [`${key}_env`]: ___, ...rest } = before as Members;
    whole[section] =
      section === 'database' ? { ...rest, [`${key}_env`]: variable } : { ...rest, [key]: value };
  }
  return whole;
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

async function expandSection(
  raw: Members,
  name: 'database' | 'keys' | 'audit' | 'notifications' | 'signals' | 'sign_in',
  loading: Loading,
): Promise<{ readonly value: Members; readonly shown: Members } | null> {
  const section = raw[name];
  if (section === undefined) return null;
  const expanded: Expanded = await expandSettings(section, configSchema.shape[name], [name], loading);
  return { value: { [name]: expanded.value }, shown: { [name]: expanded.shown } };
}

/** Grants check themselves, each with all its faults. */
const grantNames = z.record(configName, z.custom<Json>());

type Sections = { -readonly [Name in keyof RawConfig]?: Name extends 'grants' ? Members : RawConfig[Name] };

/** Reads each section on its own, so that one that is broken hides no other. Absent are those that are. */
function readSections(raw: Members, loading: Loading): Sections {
  const shape: Readonly<Record<string, z.ZodType>> = {
    ...configSchema.shape,
    grants: grantNames.default({}),
  };
  for (const name of Object.keys(raw)) {
    if (!Object.hasOwn(shape, name))
      loading.faults.push({
        path: [name],
        message: `Unknown key ${quote(name)}: ${suggest(name, Object.keys(shape))}`,
      });
  }
  const sections: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(shape)) {
    const section = Object.hasOwn(raw, name) ? raw[name] : undefined;
    const read = schema.safeParse(section);
    if (read.success) sections[name] = read.data;
    else loading.faults.push(...schemaFaults(read.error.issues, schema, section, [name]));
  }
  return sections as Sections;
}

function readGrants(
  raw: Members,
  world: GrantWorld,
  broken: ReadonlySet<string>,
  loading: Loading,
): ReadonlyMap<string, Grant> {
  const grants = new Map<string, Grant>();
  for (const [name, member] of Object.entries(raw)) {
    const grant = parseGrant(name, member, world);
    if (grant.ok) grants.set(name, grant.value);
    else loading.faults.push(...blameless(grant.error, member, broken, ['grants', name]));
  }
  return grants;
}

/** A grant is not to blame for a target that is broken itself. */
function blameless(faults: readonly Fault[], grant: Json, broken: ReadonlySet<string>, at: Path): Fault[] {
  const credentials = credentialsOf(grant);
  return faults
    .filter(({ path: [part, name, member] }) => {
      const target = part === 'credentials' ? credentials[String(name)]?.target : undefined;
      return !(typeof target === 'string' && broken.has(target) && member !== undefined);
    })
    .map(({ path, message }) => ({ path: [...at, ...path], message }));
}

function credentialsOf(grant: Json | undefined): Readonly<Record<string, Members>> {
  const credentials = (grant as Members | null | undefined)?.credentials;
  return credentials !== null && typeof credentials === 'object'
    ? (credentials as Record<string, Members>)
    : {};
}

/** A name in both places would open tasks, and end them at once. */
function readWithdrawn({ withdrawn = [], grants = {} }: Sections, loading: Loading): ReadonlySet<string> {
  for (const [i, name] of withdrawn.entries()) {
    if (Object.hasOwn(grants, name))
      loading.faults.push({
        path: ['withdrawn', i],
        message: `Cannot withdraw ${quote(name)}: it is in grants; take it out of one of the two`,
      });
  }
  return new Set(withdrawn);
}

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

/** Those who may break the glass must be known by all their identities, or a review would not keep them from the next use. */
function refuseUnnamed(grants: ReadonlyMap<string, Grant>, people: readonly Human[], loading: Loading): void {
  for (const { name, breakGlass } of grants.values())
    for (const who of breakGlass === null ? [] : unnamedPeople(breakGlass, people))
      loading.faults.push({
        path: ['grants', name, 'who'],
        message: `Break-glass is for people whom the configuration knows: add the identity with ${who} to somebody in people`,
      });
}

function withScopes(
  targets: ReadonlyMap<string, Omit<ConfiguredTarget, 'scopes'>>,
  grants: Json | undefined,
): ReadonlyMap<string, ConfiguredTarget> {
  const credentials = Object.values((grants ?? {}) as Members).flatMap((grant) =>
    Object.values(credentialsOf(grant)),
  );
  return new Map(
    [...targets].map(([name, target]) => {
      const scopes = credentials.filter((credential) => credential.target === name).map(({ scope }) => scope);
      return [name, { ...target, scopes }];
    }),
  );
}
