import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A certificate and its key, PEM. */
export interface Certified {
  readonly certificate: string;
  readonly key: string;
}

/** An authority of the test's own. */
export interface Authority {
  /** Its certificate, PEM. */
  readonly ca: string;
  /** A certificate for a common name, with subject alternative names such as `DNS:db.example` or `IP:127.0.0.1`. */
  issue(commonName: string, alternativeNames?: readonly string[]): Promise<Certified>;
}

/** Makes an authority with the `openssl` command; or says that there is none. */
export async function makeAuthority(): Promise<Authority | { readonly unavailable: string }> {
  try {
    await run('openssl', ['version']);
  } catch {
    return { unavailable: 'needs the openssl command (Debian openssl)' };
  }
  const authority = await inFolder(async (folder) => {
    await openssl(
      folder,
      'req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 -keyout key -out cert -subj /CN=authority',
    );
    return read(folder);
  });
  return {
    ca: authority.certificate,
    issue: (commonName, alternativeNames = []) =>
      inFolder(async (folder) => {
        await writeFile(join(folder, 'ca.cert'), authority.certificate);
        await writeFile(join(folder, 'ca.key'), authority.key, { mode: 0o600 });
        const names = alternativeNames.length > 0 ? `subjectAltName=${alternativeNames.join(',')}\n` : '';
        await writeFile(join(folder, 'extensions'), `basicConstraints=CA:FALSE\n${names}`);
        await openssl(
          folder,
          `req -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout key -out request -subj /CN=${commonName}`,
        );
        await openssl(
          folder,
          'x509 -req -in request -CA ca.cert -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out cert',
        );
        return read(folder);
      }),
  };
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-certificates-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function openssl(folder: string, parameters: string): Promise<void> {
  await run('openssl', parameters.split(' '), { cwd: folder });
}

async function read(folder: string): Promise<Certified> {
  const [certificate, key] = await Promise.all([
    readFile(join(folder, 'cert'), 'utf8'),
    readFile(join(folder, 'key'), 'utf8'),
  ]);
  return { certificate, key };
}
