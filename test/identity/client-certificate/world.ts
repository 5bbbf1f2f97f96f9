import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { attestorKind } from '../../../src/identity/client-certificate/kind.ts';
import { authority, type Issued, issue } from '../../support/authority.ts';
import { createTestRuntime, TEST_EPOCH } from '../../support/runtime.ts';

const HOUR = 3_600_000;

export interface ListOptions {
  thisUpdate?: number;
  nextUpdate?: number | null;
  /** Signs in its place. */
  signedBy?: Issued;
  extensions?: x509.Extension[];
}

/** A revocation list of an authority, as PEM. */
export async function revocationList(by: Issued, revoked: readonly Issued[], options: ListOptions = {}) {
  const { thisUpdate = TEST_EPOCH - HOUR, nextUpdate = TEST_EPOCH + HOUR, extensions = [] } = options;
  const list = await x509.X509CrlGenerator.create({
    issuer: by.certificate.subject,
    thisUpdate: new Date(thisUpdate),
    ...(nextUpdate !== null && { nextUpdate: new Date(nextUpdate) }),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    signingKey: (options.signedBy ?? by).keys.privateKey,
    entries: revoked.map(({ certificate }) => ({
      serialNumber: certificate.serialNumber,
      revocationDate: new Date(thisUpdate),
    })),
    extensions,
  });
  const base64 = Buffer.from(list.rawData).toString('base64');
  return `-----BEGIN X509 CRL-----\n${base64}\n-----END X509 CRL-----\n`;
}

/** A private authority of two levels with current lists, and an attestor that trusts its root. */
export async function openCertificateWorld(settings: Record<string, unknown> = {}) {
  const runtime = createTestRuntime();
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-test-'));
  const root = await authority({ subject: 'CN=Acme root, O=Acme' });
  const between = await issue(root, {
    ca: true,
    subject: 'CN=Acme issuing, O=Acme',
    notAfter: TEST_EPOCH + 24 * HOUR,
  });
  const listPath = join(folder, 'lists.pem');
  const publish = async (...lists: readonly (string | Promise<string>)[]) =>
    writeFile(listPath, (await Promise.all(lists)).join('\n'));
  await publish(revocationList(root, []), revocationList(between, []));
  const written = attestorKind.settings.parse({
    type: 'client-certificate',
    ca_file: 'ca.pem',
    subject_from: 'dns',
    crl_paths: [listPath],
    ...settings,
  });
  const resolved = attestorKind.resolve(written, { ca_file: root.pem });
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.error));
  const attestor = attestorKind.create('mesh', resolved.value, runtime);
  return {
    runtime,
    root,
    between,
    attestor,
    publish,
    listPath,
    described: attestorKind.describe(resolved.value),
    verdict: async (...chain: readonly Issued[]) => {
      const evidence = { kind: 'client-certificate', chain: chain.map(({ der }) => der) } as const;
      const answer = await attestor.attest(evidence, runtime.now(), new AbortController().signal);
      return answer === null ? 'null' : answer.ok ? 'ok' : answer.error.reason;
    },
    close: () => rm(folder, { recursive: true }),
  };
}
