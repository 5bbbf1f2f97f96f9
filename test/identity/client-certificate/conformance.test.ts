import { attestorConformance, certificateGarbage, certificateMutations } from '../../conformance/attestor.ts';
import { authority, type Issued, issue } from '../../support/authority.ts';
import { openCertificateWorld, revocationList } from './world.ts';

const chainOf = (...chain: readonly Issued[]) =>
  ({ kind: 'client-certificate', chain: chain.map(({ der }) => der) }) as const;

attestorConformance({
  name: 'createCertificateAttestor',
  garbage: certificateGarbage,
  mutations: certificateMutations,
  async create() {
    const world = await openCertificateWorld();
    const { runtime, root, between, publish } = world;
    const stranger = await authority({ subject: 'CN=Stranger' });
    const impostor = await authority({ subject: 'CN=Acme root, O=Acme' });
    const leaf = await issue(between, { dns: ['etl.acme.example'], subject: 'CN=etl, O=Acme, OU=Data' });
    const lost = await issue(between, { dns: ['etl.acme.example'] });
    await publish(revocationList(root, []), revocationList(between, [lost]));
    const one = async (options: Parameters<typeof issue>[1]) =>
      chainOf(await issue(between, { dns: ['etl.acme.example'], ...options }), between);
    const hour = 3_600_000;
    const { notBefore, notAfter } = leaf.certificate;
    return {
      attestor: world.attestor,
      valid: chainOf(leaf, between),
      proves: { subject: 'etl.acme.example', method: 'client-certificate' },
      now: runtime.now(),
      accepted: { from: notBefore.getTime(), until: notAfter.getTime() + 1 },
      notMine: {
        'of another authority': chainOf(await issue(stranger, { dns: ['etl.acme.example'] }), stranger),
        'without what leads to ours': chainOf(leaf),
        'self-signed': chainOf(await issue(null, { dns: ['etl.acme.example'] })),
        'a token': { kind: 'bearer', token: 'AbCd' },
        nothing: { kind: 'client-certificate', chain: [] },
      },
      refused: {
        expired: {
          evidence: await one({ notBefore: runtime.now() - 2 * hour, notAfter: runtime.now() - hour }),
          reason: 'expired',
        },
        'not yet valid': {
          evidence: await one({ notBefore: runtime.now() + hour, notAfter: runtime.now() + 2 * hour }),
          reason: 'not-yet-valid',
        },
        revoked: { evidence: chainOf(lost, between), reason: 'revoked' },
        'signed by an impostor': {
          evidence: chainOf(await issue(impostor, { dns: ['etl.acme.example'] })),
          reason: 'signature',
        },
        'an authority as leaf': { evidence: chainOf(between), reason: 'certificate' },
        'for servers': {
          evidence: await one({ extendedUsage: ['1.3.6.1.5.5.7.3.1'] }),
          reason: 'certificate',
        },
        'for any purpose': {
          evidence: await one({ extendedUsage: ['2.5.29.37.0'] }),
          reason: 'certificate',
        },
        'without a purpose': { evidence: await one({ extendedUsage: null }), reason: 'certificate' },
        'not for signatures': { evidence: await one({ usage: 4 }), reason: 'certificate' },
        'without a name': { evidence: await one({ dns: [] }), reason: 'missing-claim' },
        'with two names': {
          evidence: await one({ dns: ['etl.acme.example', 'admin.acme.example'] }),
          reason: 'missing-claim',
        },
      },
      tooLarge: { kind: 'client-certificate', chain: Array(9).fill(leaf.der) },
      requestedHosts: () => runtime.hosts,
      configuredHosts: [],
      close: () => world.close(),
    };
  },
});
