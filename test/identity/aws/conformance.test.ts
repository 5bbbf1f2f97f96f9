import { attestorConformance, bearerGarbage, bearerMutations } from '../../conformance/attestor.ts';
import { fakeSession } from '../../fakes/sts.ts';
import { openAwsWorld } from './world.ts';

attestorConformance({
  name: 'createAwsAttestor (over a fake of STS)',
  garbage: bearerGarbage,
  mutations: bearerMutations,
  async create() {
    const { runtime, caller, sts, attestor, token } = await openAwsWorld();
    const now = runtime.now();
    const signedAt = now - 10_000;
    const stranger = fakeSession('etl', 'nightly');
    const wrongSecret = { ...caller, secretAccessKey: stranger.secretAccessKey };
    return {
      attestor,
      valid: token(),
      proves: { subject: 'arn:aws:sts::123456789012:assumed-role/etl/nightly', method: 'aws-sigv4' },
      now,
      accepted: { from: signedAt - 20_000, until: signedAt + 320_000 },
      notMine: {
        'a JWT': { kind: 'bearer', token: 'eyJhbGciOiJub25lIn0.e30.' },
        'for another address': token({ url: 'https://sts.evil.test/' }),
        'for the same address by another path': token({ url: `${sts.url}x` }),
        'for the same address by another spelling': token({ url: sts.url.replace('127.0.0.1', 'localhost') }),
        'for an address inside': token({ url: 'http://169.254.169.254/' }),
        'with a user in the address': token({ url: sts.url.replace('//', '//x@') }),
        'no JSON': { kind: 'bearer', token: 'aws-sigv4.AAAA' },
        nothing: { kind: 'bearer', token: 'aws-sigv4.' },
        'a certificate': { kind: 'client-certificate', chain: [new Uint8Array(4)] },
      },
      refused: {
        expired: { evidence: token({ now: now - 330_000 }), reason: 'expired' },
        'of the future': { evidence: token({ now: now + 30_000 }), reason: 'not-yet-valid' },
        'for another broker': { evidence: token({ audience: 'https://other.example' }), reason: 'audience' },
        'by somebody unknown': { evidence: token({}, stranger), reason: 'signature' },
        'with another secret': { evidence: token({}, wrongSecret), reason: 'signature' },
        'with an audience that is not signed': {
          evidence: token({ unsigned: ['x-hallpass-audience'] }),
          reason: 'malformed',
        },
        'with an audience written over': {
          evidence: token({
            audience: 'https://other.example',
            after: ({ url, headers }) => ({
              url,
              headers: { ...headers, 'x-hallpass-audience': 'https://hallpass.acme.example' },
            }),
          }),
          reason: 'signature',
        },
        'with another question': { evidence: token({ body: 'Action=GetSessionToken' }), reason: 'signature' },
        'with a header of its own': { evidence: token({ headers: { 'x-evil': '1' } }), reason: 'malformed' },
        'with a host of its own': {
          evidence: token({ headers: { host: 'evil.test' } }),
          reason: 'malformed',
        },
        'with a line break in a header': {
          evidence: token({ headers: { 'content-type': 'a\r\nhost: evil.test' } }),
          reason: 'malformed',
        },
        'with two spaces in a header': {
          evidence: token({ headers: { 'content-type': 'a  b' } }),
          reason: 'malformed',
        },
        'with a method': {
          evidence: token({ after: (request) => ({ ...request, method: 'GET' }) }),
          reason: 'malformed',
        },
        'without headers': { evidence: token({ after: ({ url }) => ({ url }) }), reason: 'malformed' },
      },
      tooLarge: token({ headers: { 'x-amz-security-token': 'x'.repeat(20_000) } }),
      requestedHosts: () => runtime.hosts,
      configuredHosts: [sts.host],
      close: () => sts.close(),
    };
  },
});
