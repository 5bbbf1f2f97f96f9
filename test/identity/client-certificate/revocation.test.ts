import 'reflect-metadata';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { expect, onTestFinished, test } from 'vitest';
import { attestorKind } from '../../../src/identity/client-certificate/kind.ts';
import { KEYS_STALE_MAX_MS } from '../../../src/identity/jwt/limits.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { accepted } from '../../conformance/attestor.ts';
import { issue } from '../../support/authority.ts';
import { TEST_EPOCH } from '../../support/runtime.ts';
import { openCertificateWorld, revocationList } from './world.ts';

const HOUR = 3_600_000;
const DNS = { dns: ['etl.acme.example'] };

async function world(settings?: Record<string, unknown>) {
  const opened = await openCertificateWorld(settings);
  onTestFinished(opened.close);
  return { ...opened, leaf: await issue(opened.between, { ...DNS, notAfter: TEST_EPOCH + 23 * HOUR }) };
}

test('revocation: a new list is heeded, of the leaf and of the authority above it', async () => {
  const { leaf, root, between, publish, runtime, verdict } = await world();
  expect(await verdict(leaf, between)).toBe('ok');
  await publish(revocationList(root, []), revocationList(between, [leaf]));
  await runtime.advance(30_000);
  expect(await verdict(leaf, between)).toBe('revoked');
  await publish(revocationList(root, [between]), revocationList(between, []));
  await runtime.advance(30_000);
  expect(await verdict(leaf, between)).toBe('revoked');
});

test('revocation: a list past its next update refuses, and so does one that is missing', async () => {
  const { leaf, root, between, publish, runtime, verdict } = await world();
  expect(await verdict(leaf, between)).toBe('ok');
  await runtime.advance(HOUR + 1);
  expect(await verdict(leaf, between)).toBe('keys-unavailable');
  const nextUpdate = TEST_EPOCH + 10 * HOUR;
  await publish(revocationList(root, [], { nextUpdate }));
  await runtime.advance(30_000);
  expect(await verdict(leaf, between)).toBe('keys-unavailable');
  await publish(revocationList(root, [], { nextUpdate }), revocationList(between, [], { nextUpdate }));
  await runtime.advance(30_000);
  expect(await verdict(leaf, between)).toBe('ok');
});

test('revocation: of several lists the newest counts, whatever the order; one of the future does not', async () => {
  const { leaf, root, between, publish, runtime, verdict } = await world();
  const old = revocationList(between, [], { thisUpdate: TEST_EPOCH - 2 * HOUR });
  const current = revocationList(between, [leaf], { thisUpdate: TEST_EPOCH - HOUR });
  const future = revocationList(between, [], {
    thisUpdate: TEST_EPOCH + HOUR,
    nextUpdate: TEST_EPOCH + 2 * HOUR,
  });
  for (const lists of [
    [old, current, future],
    [future, current, old],
  ]) {
    await publish(revocationList(root, []), ...lists);
    await runtime.advance(30_000);
    expect(await verdict(leaf, between)).toBe('revoked');
  }
});

test('revocation: a list that somebody else signed is none', async () => {
  const { leaf, root, between, publish, runtime, verdict } = await world();
  await publish(revocationList(root, []), revocationList(between, [], { signedBy: root }));
  await runtime.advance(30_000);
  expect(await verdict(leaf, between)).toBe('keys-unavailable');
});

test('revocation: a file that is broken or gone serves what is known for a while, then nothing', async () => {
  const { leaf, root, between, publish, runtime, verdict, listPath } = await world();
  const nextUpdate = TEST_EPOCH + 20 * HOUR;
  await publish(revocationList(root, [], { nextUpdate }), revocationList(between, [], { nextUpdate }));
  expect(await verdict(leaf, between)).toBe('ok');
  await unlink(listPath);
  await runtime.advance(KEYS_STALE_MAX_MS - 1);
  expect(await verdict(leaf, between)).toBe('ok');
  await runtime.advance(1);
  expect(await verdict(leaf, between)).toBe('keys-unavailable');
  writeFileSync(listPath, '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n');
  await runtime.advance(60_000);
  expect(await verdict(leaf, between)).toBe('keys-unavailable');
});

test('revocation: lists of another kind, or without an end, are not taken for whole ones', async () => {
  for (const options of [
    { nextUpdate: null },
    { extensions: [new x509.Extension('2.5.29.27', true, Buffer.from('020101', 'hex'))] },
    { extensions: [new x509.Extension('2.5.29.28', true, Buffer.from('3000', 'hex'))] },
  ]) {
    const { leaf, root, between, publish, verdict } = await world();
    await publish(revocationList(root, []), revocationList(between, [], options));
    expect(await verdict(leaf, between)).toBe('keys-unavailable');
  }
});

test('describe: no revocation lists are an exception', async () => {
  const { leaf, between, verdict, described } = await world({ crl_paths: undefined });
  expect(await verdict(leaf, between)).toBe('ok');
  expect(described.exceptions?.join()).toMatch(/stolen certificate/);
  expect((await world()).described.exceptions).toEqual([]);
});

test('attest: certificates and lists of openssl', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  try {
    openssl('version');
  } catch {
    return context.skip('needs openssl (Debian openssl)');
  }
  writeFileSync(
    join(folder, 'ca.cnf'),
    `[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\ndefault_days=1\ndefault_crl_days=1\ncopy_extensions=none\n` +
      `[p]\ncommonName=supplied\norganizationName=optional\n[req]\ndistinguished_name=dn\n[dn]\n` +
      `[ext_ca]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n` +
      `[ext_leaf]\nbasicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:etl.acme.example,email:etl@acme.example\nauthorityKeyIdentifier=keyid\n`,
  );
  writeFileSync(join(folder, 'index.txt'), '');
  writeFileSync(join(folder, 'serial'), '00F1\n');
  openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/O=Acme/CN=Real root',
    '-config',
    'ca.cnf',
    '-extensions',
    'ext_ca',
    '-days',
    '2',
  );
  openssl(
    'req',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    'leaf.key',
    '-out',
    'leaf.csr',
    '-subj',
    '/O=Acme/CN=etl',
    '-config',
    'ca.cnf',
  );
  openssl(
    'ca',
    '-batch',
    '-config',
    'ca.cnf',
    '-cert',
    'ca.pem',
    '-keyfile',
    'ca.key',
    '-in',
    'leaf.csr',
    '-out',
    'leaf.pem',
    '-extensions',
    'ext_leaf',
    '-notext',
  );
  openssl('x509', '-in', 'leaf.pem', '-outform', 'DER', '-out', 'leaf.der');
  openssl('ca', '-gencrl', '-config', 'ca.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key', '-out', 'list.pem');
  const crlPath = join(folder, 'list.pem');
  const attest = async (subject_from: string) => {
    const written = attestorKind.settings.parse({
      type: 'client-certificate',
      ca_file: 'ca.pem',
      subject_from,
      crl_paths: [crlPath],
    });
    const resolved = attestorKind.resolve(written, { ca_file: readFileSync(join(folder, 'ca.pem'), 'utf8') });
    if (!resolved.ok) throw new Error(JSON.stringify(resolved.error));
    const attestor = attestorKind.create('mesh', resolved.value, systemRuntime);
    const chain = [readFileSync(join(folder, 'leaf.der'))];
    return attestor.attest(
      { kind: 'client-certificate', chain },
      Date.now() + 5_000,
      new AbortController().signal,
    );
  };
  expect(accepted(await attest('dns')).subject).toBe('etl.acme.example');
  expect(accepted(await attest('email')).subject).toBe('etl@acme.example');
  expect(accepted(await attest('common_name'))).toMatchObject({
    subject: 'etl',
    claims: { organizations: ['Acme'], serial: 'f1', common_name: 'etl' },
  });
  expect(await attest('uri')).toMatchObject({ error: { reason: 'missing-claim' } });
  openssl('ca', '-config', 'ca.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key', '-revoke', 'leaf.pem');
  openssl('ca', '-gencrl', '-config', 'ca.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key', '-out', 'list.pem');
  expect(await attest('dns')).toMatchObject({ error: { reason: 'revoked' } });
});
