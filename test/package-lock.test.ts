import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly hasInstallScript?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

function readJson(name: string) {
  return JSON.parse(readFileSync(join(import.meta.dirname, '..', name), 'utf8'));
}

const lock: { packages: Readonly<Record<string, LockedPackage>> } = readJson('package-lock.json');
const locked = Object.entries(lock.packages).filter(([path]) => path !== '');
const nameOf = (path: string) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

describe('package-lock.json', () => {
  it('pins every package by version and digest, and names no host', () => {
    expect(locked.length).toBeGreaterThan(100);
    const faults = locked.filter(
      ([, { version, resolved, integrity }]) => !version || !integrity || resolved,
    );
    expect(faults.map(([path]) => path)).toEqual([]);
  });

  it('has the binaries of every platform, without which `npm ci` refuses it', () => {
    const names = new Set(locked.map(([path]) => nameOf(path)));
    const wanted = locked.flatMap(([, { optionalDependencies = {} }]) => Object.keys(optionalDependencies));
    expect(wanted.filter((name) => !names.has(name))).toEqual([]);
  });

  it('brings no install script that package.json has not decided about', () => {
    const decided = Object.keys(readJson('package.json').allowScripts);
    const withScripts = locked.filter(([, { hasInstallScript }]) => hasInstallScript);
    expect([...new Set(withScripts.map(([path]) => nameOf(path)))].sort()).toEqual(decided.sort());
  });
});
