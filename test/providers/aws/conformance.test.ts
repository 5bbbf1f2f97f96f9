import { provider } from '../../../src/providers/aws/provider.ts';
import { providerConformance } from '../../conformance/provider.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';
import { onlyUnder, ROLE, read, startAwsWorld, write } from './world.ts';

for (const variant of ['expiry-only', 'denied'] as const) {
  providerConformance({
    name: `AWS, ${variant}, against a strict fake of STS, IAM and S3`,
    kind: provider,
    abilities: { ends: variant, extends: false, lists: false, network: true, powerless: true },
    start: async () => {
      const world = await startAwsWorld();
      const { aws } = world;
      const proxy = await startTcpProxy(aws);
      // The suite ends more sessions in a minute than a role's policies have room for.
      aws.inlineBudget = 100_000;
      const denial = {
        roles: [ROLE],
        max_denials: 500,
        propagation_seconds: 300,
        when_full: 'fail' as const,
      };
      const settings: typeof world.settings = (more, who) => ({
        ...world.settings(more, who),
        ...(variant === 'denied' ? { denial } : {}),
      });
      const proxied = `http://${proxy.host}:${proxy.port}`;
      return {
        settings: settings(),
        scope: onlyUnder('eu'),
        canUse: async (secret) =>
          (await read(secret, aws.url, 'eu/january.csv')) === 'eu,1' &&
          (await read(secret, aws.url, 'us/january.csv')) === 'AccessDenied' &&
          (await write(secret, aws.url, 'eu/january.csv')) === 'AccessDenied',
        exists: async (name) => aws.isLive(name),
        expiryOf: async (name) => {
          // By trial: the first second on the clock of AWS at which the session may do nothing any more.
          let at = Math.floor(Date.now() / 1000) * 1000;
          aws.now = () => at;
          while (aws.isLive(name)) at += 1_000;
          aws.now = Date.now;
          return at;
        },
        network: {
          settings: settings({ insecure_endpoints: { sts: proxied, iam: proxied } }),
          set: (weather) => proxy.set(weather),
          swallowed: () => proxy.swallowed(),
        },
        powerless: settings({}, 'powerless'),
        stop: async () => {
          await proxy.close();
          await world.stop();
        },
      };
    },
  });
}
