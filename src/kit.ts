/** `hallpass/provider`: what a provider that comes as a package is made with. See src/providers/README.md. */

export { ProviderError, type ProviderErrorCode } from './errors.ts';
export type { Json } from './json.ts';
export {
  type EndableTarget,
  type Ended,
  type Ending,
  type LapsingTarget,
  type Minted,
  PROVIDER_INTERFACE_VERSION,
  type ProviderKind,
  type Secret,
  type SelfTest,
  type Sighting,
  type Sightings,
  type Target,
  type TargetContext,
  type Templating,
  type Terms,
} from './providers/provider.ts';
export type { Runtime } from './runtime.ts';
