import { printDuration } from '../duration.ts';
import type { Json } from '../json.ts';
import type { ProviderKind } from '../providers/provider.ts';
import { type Fault, type Path, printPath, quote, schemaFaults, suggest } from './fault.ts';
import type { CredentialGrant, TemplateValues } from './grant.ts';
import type { ParsedParameter } from './parameter.ts';
import type { RawCredential } from './schema.ts';
import { parseTemplate, type ScopeTemplate } from './template.ts';

/** What is known of a target when a grant is read. */
export interface TargetInWorld {
  readonly kind: ProviderKind;
  /** As `kind.settings` gave them. */
  readonly settings: unknown;
}

interface Context {
  readonly targets: ReadonlyMap<string, TargetInWorld>;
  readonly parameters: ReadonlyMap<string, ParsedParameter>;
  /** Whether the grant takes any task name. */
  readonly anyTask: boolean;
}

/** Reads one credential of a grant; null when its target is unknown. */
export function parseCredential(
  name: string,
  raw: RawCredential,
  context: Context,
  faults: Fault[],
): CredentialGrant | null {
  const path = ['credentials', name];
  const target = context.targets.get(raw.target);
  if (target === undefined) {
    const message = `Unknown target ${quote(raw.target)}: ${suggest(raw.target, context.targets.keys())}`;
    faults.push({ path: [...path, 'target'], message });
    return null;
  }
  const ttl = parseTtl(raw, target.kind, path, faults);
  const template = parseTemplate(
    raw.scope,
    target.kind.templating,
    context.parameters,
    [...path, 'scope'],
    faults,
  );
  faults.push(...unboundedTemplates(template, context, path));
  const scopeFor = (values: TemplateValues) => fillAndCheck(template, target, values);
  if (faults.length === 0 || faults.every((fault) => !startsWith(fault.path, path)))
    faults.push(...tryScopes(raw.scope, template, target, context, [...path, 'scope']));
  return { name, target: raw.target, provider: target.kind.kind, ttl, scopeFor };
}

function startsWith(path: Path, start: Path): boolean {
  return start.every((step, i) => path[i] === step);
}

function parseTtl(
  raw: RawCredential,
  kind: ProviderKind,
  path: Path,
  faults: Fault[],
): CredentialGrant['ttl'] {
  const { shortestSeconds, longestSeconds } = kind.ttl;
  const maxSeconds = raw.ttl.max;
  const defaultSeconds = raw.ttl.default ?? maxSeconds;
  const capSeconds = raw.ttl.cap ?? maxSeconds;
  const fault = (member: string, message: string) => faults.push({ path: [...path, 'ttl', member], message });
  if (maxSeconds > longestSeconds)
    fault('max', `Longer than ${kind.kind} can give: write ${printDuration(longestSeconds)} or less`);
  if (maxSeconds < shortestSeconds)
    fault('max', `Shorter than ${kind.kind} can give: write ${printDuration(shortestSeconds)} or more`);
  if (defaultSeconds > maxSeconds)
    fault('default', `Longer than max: write ${printDuration(maxSeconds)} or less`);
  if (defaultSeconds < shortestSeconds && raw.ttl.default !== undefined)
    fault('default', `Shorter than ${kind.kind} can give: write ${printDuration(shortestSeconds)} or more`);
  if (capSeconds < maxSeconds) fault('cap', `Below max: write ${printDuration(maxSeconds)} or more`);
  return { shortestSeconds, defaultSeconds, maxSeconds, capSeconds };
}

/** What a requester may fill with almost anything has no place in a scope. */
function unboundedTemplates(template: ScopeTemplate, context: Context, path: Path): Fault[] {
  const faults: Fault[] = [];
  for (const name of template.parameters) {
    const parameter = context.parameters.get(name);
    const where = printPath([...path, 'scope']);
    if (parameter?.bounded === false)
      faults.push({
        path: ['parameters', name],
        message: `Cannot be used in ${where} while it may be any string: give it an enum, a pattern or a max_length`,
      });
    if (parameter?.present === false)
      faults.push({
        path: ['parameters', name],
        message: `Cannot be used in ${where} while it may be left out: give it a default or make it required`,
      });
  }
  if (template.usesTask && context.anyTask)
    faults.push({
      path: [...path, 'scope'],
      message:
        'Cannot use {{ task }} while the grant takes any name: name the tasks, or a glob with a beginning',
    });
  return faults;
}

/** The scope as it is minted. What the provider refuses at load it refuses here too, now with the values filled in. */
function fillAndCheck(
  template: ScopeTemplate,
  { kind, settings }: TargetInWorld,
  values: TemplateValues,
): ReturnType<CredentialGrant['scopeFor']> {
  const filled = template.fill(values);
  if (!filled.ok) return filled;
  const read = kind.scope.safeParse(filled.value);
  if (!read.success) {
    const [first] = schemaFaults(read.error.issues, kind.scope, filled.value, ['scope']);
    return {
      ok: false,
      error: first ? `${printPath(first.path)}: ${first.message}` : 'does not fit the provider',
    };
  }
  const refused = kind.refuseScope?.(read.data, settings) ?? [];
  if (refused.length > 0) return { ok: false, error: refused.join('; ') };
  return { ok: true, value: read.data as Json };
}

/**
 * Fills the scope as requests will, before any does: with each value of every parameter that has few, with a likely
 * one of the others. A fault at a place that holds only likely values is none: another value may fit.
 */
function tryScopes(
  raw: Json,
  template: ScopeTemplate,
  target: TargetInWorld,
  context: Context,
  at: Path,
): Fault[] {
  const found = new Map<string, Fault>();
  const report = (fault: Fault) => found.set(`${printPath(fault.path)} ${fault.message}`, fault);
  for (const values of trialValues(template, context)) {
    const certain = (name: string) => context.parameters.get(name)?.samples.complete ?? false;
    const guessed = template.places.filter(
      ({ parameters }) => parameters.length === 0 || !parameters.every(certain),
    );
    const filled = template.fill(values);
    if (!filled.ok) {
      if (guessed.length === 0) report({ path: at, message: `${filled.error}: ${printValues(values)}` });
      continue;
    }
    const read = target.kind.scope.safeParse(filled.value);
    if (read.success) {
      const refused = target.kind.refuseScope?.(read.data, target.settings) ?? [];
      for (const message of refused) report({ path: at, message });
      continue;
    }
    for (const fault of schemaFaults(read.error.issues, target.kind.scope, filled.value)) {
      const likely = guessed.some(({ path }) => startsWith(path, fault.path) || startsWith(fault.path, path));
      if (!likely || fault.path.length === 0)
        report({ path: [...at, ...fault.path], message: fault.message });
    }
  }
  // As it is written, too: a provider can see where a template stands only while it is there.
  const asWritten = found.size > 0 ? [] : (target.kind.refuseScope?.(raw, target.settings) ?? []);
  for (const message of asWritten) report({ path: at, message });
  return [...found.values()];
}

/** One set of values, then the same with each other value of each parameter in turn. */
function* trialValues(template: ScopeTemplate, context: Context): Generator<TemplateValues> {
  const first: Record<string, Json> = {};
  for (const name of template.parameters) {
    const [value] = context.parameters.get(name)?.samples.values ?? [];
    first[name] = value ?? 'a';
  }
  yield { task: 'task', parameters: first };
  for (const name of template.parameters) {
    for (const value of context.parameters.get(name)?.samples.values.slice(1) ?? [])
      yield { task: 'task', parameters: { ...first, [name]: value } };
  }
}

function printValues(values: TemplateValues): string {
  return quote(JSON.stringify(values.parameters));
}
