import type { TargetInWorld } from '../grants/credential.ts';
import { type Fault, type Path, printPath, quote, schemaFaults, suggest } from '../grants/fault.ts';
import type { IssuerInWorld } from '../grants/width.ts';
import type { AttestorKind } from '../identity/attestor.ts';
import { type Json, sha256 } from '../json.ts';
import type { ProviderKind } from '../providers/provider.ts';
import type { ConfiguredIssuer, ConfiguredTarget, Kinds } from './config.ts';
import type { RawConfig } from './schema.ts';
import { expandSettings, type Loading, readText, relativeTo } from './secrets.ts';

/** Issuers or targets: what the broker uses, what grants may refer to, and what the digest is made of. */
interface Loaded<Configured, InWorld> {
  readonly configured: Map<string, Configured>;
  readonly world: Map<string, InWorld>;
  readonly shown: Record<string, Json>;
  /** Named in the configuration, and not to be used. */
  readonly broken: Set<string>;
}

function nothing<Configured, InWorld>(): Loaded<Configured, InWorld> {
  return { configured: new Map(), world: new Map(), shown: {}, broken: new Set() };
}

export async function loadIssuers(
  raw: RawConfig['issuers'],
  kinds: Kinds<AttestorKind>,
  broker: { readonly url: string; readonly asksForCertificates: boolean },
  loading: Loading,
): Promise<Loaded<ConfiguredIssuer, IssuerInWorld>> {
  const loaded = nothing<ConfiguredIssuer, IssuerInWorld>();
  const named = new Map<string, string>();
  for (const [name, entry] of Object.entries(raw)) {
    const path = ['issuers', name];
    const url = typeof entry.issuer === 'string' ? entry.issuer : undefined;
    loaded.world.set(name, url === undefined ? {} : { url });
    const kind = await loadKind(entry.type, kinds, [...path, 'type'], 'type', loading);
    if (kind === null) continue;
    const expanded = await expandSettings(entry as Json, kind.settings, path, loading);
    const settings = parseSettings(kind, expanded.value, path, loading.faults);
    if (settings === null) continue;
    const files = await readFileSettings(kind, settings as Readonly<Record<string, unknown>>, path, loading);
    if (files === null) continue;
    const resolved = kind.resolve(settings, files);
    if (!resolved.ok) {
      const faults = resolved.error.map(({ setting, message }) => ({ path: [...path, setting], message }));
      loading.faults.push(...faults);
      continue;
    }
    const described = kind.describe(resolved.value);
    loaded.world.set(name, described);
    for (const origin of described.names) {
      const twin = named.get(origin);
      const message = `The same issuer as ${quote(twin ?? '')}: what names ${quote(origin)} could be of either; keep one`;
      if (twin !== undefined && twin !== name)
        loading.faults.push({ path: url === undefined ? path : [...path, 'issuer'], message });
      named.set(origin, name);
    }
    if (described.ownAudience !== undefined && described.ownAudience !== broker.url) {
      const message = `Cannot be for anybody but this broker: write ${quote(broker.url)}, as broker.url has it`;
      loading.faults.push({ path: [...path, 'audience'], message });
    }
    if (described.needsClientCertificates && !broker.asksForCertificates) {
      const message =
        'Nobody can prove anything to this issuer: clients are not asked for certificates; write broker.tls.client_certificates: request';
      loading.warnings.push({ path, message });
    }
    for (const message of described.exceptions ?? []) loading.warnings.push({ path, message });
    loaded.configured.set(name, {
      name,
      kind,
      settings: resolved.value,
      ...(described.fallback && { fallback: described.fallback }),
    });
    const digests = Object.entries(files).map(([setting, text]) => [setting, sha256(text)]);
    loaded.shown[name] = { entry: expanded.shown, files: Object.fromEntries(digests) };
  }
  return loaded;
}

export async function loadTargets(
  raw: RawConfig['targets'],
  kinds: Kinds<ProviderKind>,
  loading: Loading,
): Promise<Loaded<Omit<ConfiguredTarget, 'scopes'>, TargetInWorld>> {
  const loaded = nothing<Omit<ConfiguredTarget, 'scopes'>, TargetInWorld>();
  for (const [name, { provider, ...entry }] of Object.entries(raw)) {
    const path = ['targets', name];
    loaded.broken.add(name);
    const kind = await loadKind(provider, kinds, [...path, 'provider'], 'provider', loading);
    if (kind === null) continue;
    const expanded = await expandSettings(entry as Json, kind.settings, path, loading);
    const settings = parseSettings(kind, expanded.value, path, loading.faults);
    if (settings === null) continue;
    loaded.broken.delete(name);
    loading.warnings.push(...(kind.cautions?.(settings) ?? []).map((message) => ({ path, message })));
    loaded.configured.set(name, { name, kind, settings });
    loaded.world.set(name, { kind, settings });
    loaded.shown[name] = { provider, entry: expanded.shown };
  }
  return loaded;
}

async function loadKind<Kind>(
  name: string,
  kinds: Kinds<Kind>,
  path: Path,
  what: string,
  loading: Loading,
): Promise<Kind | null> {
  const load = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
  if (load !== undefined) return await load();
  const message = `Unknown ${what} ${quote(name)}: ${suggest(name, Object.keys(kinds))}`;
  loading.faults.push({ path, message });
  return null;
}

/** The settings as their schema has them; null when they have faults, or had some when their secrets were read. */
function parseSettings(
  { settings: schema }: Pick<ProviderKind | AttestorKind, 'settings'>,
  value: Json,
  path: Path,
  faults: Fault[],
): unknown {
  const within = faults.filter((fault) => path.every((step, i) => fault.path[i] === step));
  const unread = new Set(within.map((fault) => printPath(fault.path)));
  const read = schema.safeParse(value);
  if (read.success) return unread.size > 0 ? null : read.data;
  // A secret that could not be read is reported as such, not once more for being empty.
  const found = schemaFaults(read.error.issues, schema, value, path);
  const sources = (at: string) => [at, `${at}_file`, `${at}_env`];
  faults.push(...found.filter((fault) => !sources(printPath(fault.path)).some((at) => unread.has(at))));
  return null;
}

async function readFileSettings(
  kind: AttestorKind,
  settings: Readonly<Record<string, unknown>>,
  path: Path,
  loading: Loading,
): Promise<Readonly<Record<string, string>> | null> {
  const files: Record<string, string> = {};
  let sound = true;
  for (const setting of kind.fileSettings) {
    const file = settings[setting];
    if (typeof file !== 'string') continue;
    const read = await readText(relativeTo(loading.path, file), loading.readFile);
    if (typeof read === 'string') {
      loading.faults.push({ path: [...path, setting], message: read });
      sound = false;
    } else files[setting] = read.text;
  }
  return sound ? files : null;
}
