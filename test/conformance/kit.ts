/** `hallpass/conformance`: the suite that every provider passes, for vitest; and a network that fails when told to. */

export { startTcpProxy, type TcpProxy, type Weather } from '../support/tcp-proxy.ts';
export type { Abilities } from './applies.ts';
export {
  type ProviderUnderTest,
  providerConformance,
  type TargetUnderTest,
} from './provider.ts';
