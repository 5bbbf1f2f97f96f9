import { unnamedPeople } from '../grants/break-glass.ts';
import { type Fault, type Path, quote } from '../grants/fault.ts';
import type { Grant, Human } from '../grants/grant.ts';
import { type GrantWorld, parseGrant } from '../grants/parse.ts';
import type { Json } from '../json.ts';
import type { ConfiguredTarget } from './config.ts';
import type { Loading, Members } from './secrets.ts';
import type { Sections } from './sections.ts';

/** The grants that are whole; of the others, all faults. */
export function readGrants(
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
export function readWithdrawn(
  { withdrawn = [], grants = {} }: Pick<Sections, 'withdrawn' | 'grants'>,
  loading: Loading,
): ReadonlySet<string> {
  for (const [i, name] of withdrawn.entries()) {
    if (Object.hasOwn(grants, name))
      loading.faults.push({
        path: ['withdrawn', i],
        message: `Cannot withdraw ${quote(name)}: it is in grants; take it out of one of the two`,
      });
  }
  return new Set(withdrawn);
}

/** Those who may break the glass must be known by all their identities, or a review would not keep them from the next use. */
export function refuseUnnamed(
  grants: ReadonlyMap<string, Grant>,
  people: readonly Human[],
  loading: Loading,
): void {
  for (const { name, breakGlass } of grants.values())
    for (const who of breakGlass === null ? [] : unnamedPeople(breakGlass, people))
      loading.faults.push({
        path: ['grants', name, 'who'],
        message: `Break-glass is for people whom the configuration knows: add the identity with ${who} to somebody in people`,
      });
}

/** The targets with the scopes that the grants ask of each. */
export function withScopes(
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
