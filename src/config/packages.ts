import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { quote } from '../grants/fault.ts';
import { PROVIDER_INTERFACE_VERSION, type ProviderKind } from '../providers/provider.ts';
import type { Kinds } from './config.ts';
import type { Loading } from './secrets.ts';

/**
 * The kinds of target that come from packages. Only what the configuration names is loaded, from where its folder would
 * find it; such code runs in the broker with all its rights, also when a configuration is only checked. What is not a
 * provider, or one for another version of the interface, is a fault.
 */
export async function packagedProviders(
  packages: Readonly<Record<string, string>>,
  builtIn: Kinds<ProviderKind>,
  loading: Loading,
): Promise<Kinds<ProviderKind>> {
  const kinds: Record<string, () => Promise<ProviderKind>> = {};
  for (const [name, specifier] of Object.entries(packages)) {
    const path = ['providers', name];
    if (Object.hasOwn(builtIn, name)) {
      loading.faults.push({
        path,
        message: `Cannot replace the built-in provider ${quote(name)}: choose another name`,
      });
      continue;
    }
    const loaded = await loadPackage(specifier, loading.path);
    if (typeof loaded === 'string') loading.faults.push({ path, message: loaded });
    else kinds[name] = async () => loaded;
  }
  return kinds;
}

/** The provider of a package, or why there is none. */
async function loadPackage(specifier: string, configuration: string): Promise<ProviderKind | string> {
  const folder = dirname(configuration);
  let file: string;
  try {
    file = createRequire(join(folder, 'hallpass.yaml')).resolve(specifier);
  } catch {
    return `Cannot find the package ${quote(specifier)} from ${quote(folder)}: install it there, and let its "exports" be found without conditions`;
  }
  let module: Readonly<Record<string, unknown>>;
  try {
    module = await import(pathToFileURL(file).href);
  } catch (error) {
    const said = error instanceof Error ? error.message.split('\n')[0] : 'it threw';
    return `Cannot load the package ${quote(specifier)}: ${said}`;
  }
  const { provider, interfaceVersion } = module;
  if (interfaceVersion !== PROVIDER_INTERFACE_VERSION)
    return `Cannot use the package ${quote(specifier)}: it exports interfaceVersion ${JSON.stringify(interfaceVersion) ?? 'nowhere'}, and this broker has ${PROVIDER_INTERFACE_VERSION}`;
  const lacking = lackingMember(provider);
  if (lacking !== null)
    return `Cannot use the package ${quote(specifier)}: ${lacking}; see "Write a provider"`;
  return provider as ProviderKind;
}

/** What a value lacks to be a provider, as far as can be seen before it is used. */
function lackingMember(value: unknown): string | null {
  if (value === null || typeof value !== 'object') return 'it exports no "provider"';
  const { kind, settings, scope, ttl, targetExpires, settles, templating, open } =
    value as Partial<ProviderKind>;
  const checks: Readonly<Record<string, boolean>> = {
    kind: typeof kind === 'string',
    settings: isSchema(settings),
    scope: isSchema(scope),
    ttl: Number.isInteger(ttl?.shortestSeconds) && Number.isInteger(ttl?.longestSeconds),
    targetExpires: typeof targetExpires === 'boolean',
    settles: settles === 'from-lease-id' || settles === 'bounded-by-ttl',
    templating: typeof templating?.defaultFilter === 'function' && typeof templating.filters === 'object',
    open: typeof open === 'function',
  };
  const wrong = Object.entries(checks).flatMap(([name, fits]) => (fits ? [] : [name]));
  return wrong.length === 0 ? null : `its provider has no usable ${wrong.join(', ')}`;
}

/** A schema of Zod 4, whichever copy of it made it. */
function isSchema(value: unknown): boolean {
  return value !== null && typeof value === 'object' && '_zod' in value;
}
