/** `hallpass/conformance`: the suite that every provider passes, for vitest; and a network that fails when told to. */

export {
  type ProviderUnderTest,
  providerConformance,
  type TargetUnderTest,
} from '../test/conformance/provider.ts';
export { startTcpProxy, type TcpProxy, type Weather } from '../test/support/tcp-proxy.ts';
