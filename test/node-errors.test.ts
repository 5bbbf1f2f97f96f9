import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { expect, onTestFinished, test } from 'vitest';
import { ofNodeCode } from '../src/node-errors.ts';
import { createCertificate } from './support/certificates.ts';

test.each([
  ['ECONNREFUSED', 'target-unreachable'],
  ['ENOTFOUND', 'target-unreachable'],
  ['CERT_HAS_EXPIRED', 'target-refused'],
  ['CERT_REVOKED', 'target-refused'],
  ['28P01', undefined],
  ['constructor', undefined],
])('ofNodeCode: %s', (code, ours) => {
  expect(ofNodeCode(code)).toBe(ours);
});

test('ofNodeCode: knows what Node says of certificates that are not accepted', async () => {
  const mine = await createCertificate({ name: 'localhost', address: '127.0.0.1' });
  const server = createServer(mine);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const codeOf = (options: object) =>
    new Promise<string>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1', ...options }, () => resolve('connected'));
      socket.once('error', (error) => resolve('code' in error ? String(error.code) : ''));
    });
  const codes = [await codeOf({}), await codeOf({ ca: mine.cert, servername: 'other.example' })];
  expect(codes).toEqual(['DEPTH_ZERO_SELF_SIGNED_CERT', 'ERR_TLS_CERT_ALTNAME_INVALID']);
  for (const code of codes) expect(ofNodeCode(code)).toBe('target-refused');
});
