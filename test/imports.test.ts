import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importFaults, type SourceFile } from './support/import-arrows.ts';

const ROOT = join(import.meta.dirname, '..');

function sources(): SourceFile[] {
  return readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .map((name) => `src/${name.replaceAll('\\', '/')}`)
    .filter((path) => /\.[cm]?[jt]sx?$/.test(path))
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));
}

describe('src/: imports run one way', () => {
  it('follows the arrows of the house', () => {
    const files = sources();
    expect(files.length).toBeGreaterThan(10);
    expect(importFaults(files)).toEqual([]);
  });
});

/** The files that the samples import; each is innocent. */
const HOUSE = [
  'src/errors.ts',
  'src/limits.ts',
  'src/audit/event.ts',
  'src/audit/tree.ts',
  'src/broker/issue.ts',
  'src/client/client.ts',
  'src/config/load.ts',
  'src/grants/grant.ts',
  'src/http/contract.ts',
  'src/http/app.ts',
  'src/identity/attestor.ts',
  'src/identity/oidc/oidc.ts',
  'src/identity/oidc/keys.ts',
  'src/main.ts',
  'src/providers/provider.ts',
  'src/providers/aws/aws.ts',
  'src/providers/postgres/provider.ts',
  'src/reaper/reaper.ts',
  'src/store/commit.ts',
  'src/store/rows.ts',
].map((path) => ({ path, text: 'export const here = 1;' }));

function faultsIn(path: string, text: string): string[] {
  return importFaults([...HOUSE.filter((file) => file.path !== path), { path, text }]);
}

describe('importFaults: allows', () => {
  it.each([
    ['src/errors.ts', "import './limits.ts'; import { randomBytes } from 'node:crypto';"],
    ['src/main.ts', "import '../src/broker/issue.ts'; const p = () => import('./providers/aws/aws.ts');"],
    ['src/broker/verbs.ts', "import type { A } from '../identity/attestor.ts'; import '../store/commit.ts';"],
    ['src/broker/verbs.ts', "type A = import('../providers/provider.ts').Target;"],
    [
      'src/store/commit.ts',
      "import type { E } from '../audit/event.ts'; import 'pg'; import 'drizzle-orm/pg-core';",
    ],
    ['src/store/lease.ts', "import './commit.ts'; import { PGlite } from '@electric-sql/pglite';"],
    ['src/providers/postgres/provider.ts', "import pg from 'pg'; import { x } from '../provider.ts';"],
    ['src/providers/aws/aws.ts', "import { STS } from '@aws-sdk/client-sts'; import '../../errors.ts';"],
    [
      'src/identity/oidc/oidc.ts',
      "import './keys.ts'; import type { A } from '../attestor.ts'; import 'jose';",
    ],
    [
      'src/http/app.ts',
      "import './contract.ts'; import '../broker/issue.ts'; import type { R } from '../store/rows.ts';",
    ],
    ['src/cli/exec.ts', "import '../client/client.ts'; import 'node:child_process';"],
    ['src/http/contract.ts', "import { z } from 'zod'; export type { ZodType } from 'zod';"],
    [
      'src/config/load.ts',
      "import '../grants/grant.ts'; import 'yaml'; import type { P } from '../providers/provider.ts';",
    ],
  ])('%s: %s', (path, text) => {
    expect(faultsIn(path, text)).toEqual([]);
  });
});

describe('importFaults: reports', () => {
  it.each([
    ['a leaf that imports ours', 'src/errors.ts', "import './audit/event.ts';", 'leaves may not import'],
    [
      'a value where types are allowed',
      'src/broker/verbs.ts',
      "import { A } from '../identity/attestor.ts';",
      'for its types',
    ],
    [
      'an inline type, which stays an import',
      'src/grants/parse.ts',
      "import { type A } from '../identity/attestor.ts';",
      'for its types',
    ],
    [
      'a re-export',
      'src/broker/verbs.ts',
      "const a = 1; export { A } from '../http/app.ts';",
      'broker may not import',
    ],
    [
      'a star re-export',
      'src/broker/verbs.ts',
      "const a = 1; export * from '../http/app.ts';",
      'broker may not import',
    ],
    ['a bare import', 'src/grants/parse.ts', "import '../store/commit.ts';", 'grants may not import'],
    [
      'a dynamic import',
      'src/broker/verbs.ts',
      "await import('../providers/aws/aws.ts');",
      'broker may not import',
    ],
    [
      'a dynamic import of types only',
      'src/broker/verbs.ts',
      "await import('../providers/provider.ts');",
      'for its types',
    ],
    ['a computed import', 'src/main.ts', "await import('./providers/' + process.argv[2]);", 'is computed'],
    [
      'a type in type position',
      'src/grants/parse.ts',
      "type A = import('../store/rows.ts').LeaseRow;",
      'grants may not import',
    ],
    [
      'an import deep in a function',
      'src/reaper/reaper.ts',
      "const f = { g() { return import('../http/app.ts'); } };",
      'reaper may not import',
    ],
    [
      'an arrow against the stream',
      'src/store/commit.ts',
      "import '../broker/issue.ts';",
      'store may not import',
    ],
    [
      'the store using policy',
      'src/store/commit.ts',
      "import { decide } from '../grants/grant.ts';",
      'for its types',
    ],
    ['the border at the tables', 'src/http/app.ts', "import '../store/commit.ts';", 'http may not import'],
    [
      'the reaper at a provider',
      'src/reaper/reaper.ts',
      "import '../providers/provider.ts';",
      'reaper may not import',
    ],
    [
      'a provider using another',
      'src/providers/aws/aws.ts',
      "import '../postgres/provider.ts';",
      'providers/aws may not import',
    ],
    [
      'a provider using the broker',
      'src/providers/aws/aws.ts',
      "import type { L } from '../../store/rows.ts';",
      'providers/aws may not import',
    ],
    [
      'an attestor using a provider',
      'src/identity/oidc/oidc.ts',
      "import '../../providers/provider.ts';",
      'identity/oidc may not import',
    ],
    [
      'an interface using what implements it',
      'src/identity/attestor.ts',
      "import './oidc/oidc.ts';",
      'may not import',
    ],
    [
      'audit using an interface',
      'src/audit/event.ts',
      "import type { P } from '../identity/attestor.ts';",
      'audit may not import',
    ],
    [
      'the command line at the broker',
      'src/cli/exec.ts',
      "import '../broker/issue.ts';",
      'cli may not import',
    ],
    [
      'the client at the border',
      'src/client/client.ts',
      "import type { A } from '../http/app.ts';",
      'client may not import',
    ],
    [
      'the contract using a leaf',
      'src/http/contract.ts',
      "import type { J } from '../limits.ts';",
      'http/contract.ts may not import',
    ],
    [
      'the contract using another package',
      'src/http/contract.ts',
      "import { z } from '@hono/zod-openapi';",
      'http/contract.ts may not import',
    ],
    ['the contract using Node', 'src/http/contract.ts', "import 'node:path';", 'is pure'],
    ['anybody importing main', 'src/cli/serve.ts', "import '../main.ts';", 'cli may not import'],
    ['pg outside the store', 'src/broker/verbs.ts', "import pg from 'pg';", 'its place is store'],
    [
      'the types of pg outside the store',
      'src/http/app.ts',
      "import type { Pool } from 'pg';",
      'its place is store',
    ],
    ['pg in another provider', 'src/providers/aws/aws.ts', "import pg from 'pg';", 'its place is store'],
    [
      'PGlite in the Postgres provider',
      'src/providers/postgres/provider.ts',
      "import '@electric-sql/pglite';",
      'its place is store',
    ],
    ['drizzle in main', 'src/main.ts', "import 'drizzle-orm/node-postgres';", 'its place is store'],
    ['a package without a place', 'src/broker/verbs.ts', "import _ from 'lodash';", 'no place in the house'],
    [
      'a package named like a member of Object',
      'src/broker/verbs.ts',
      "import 'constructor';",
      'no place in the house',
    ],
    ['policy with I/O', 'src/grants/parse.ts', "import { readFileSync } from 'node:fs';", 'is pure'],
    ['audit with I/O', 'src/audit/tree.ts', "import 'node:fs/promises';", 'is pure'],
    ['tests in src', 'src/broker/verbs.ts', "import '../../test/fakes/target.ts';", 'outside src/'],
    ['a file outside', 'src/main.ts', "import '../package.json' with { type: 'json' };", 'outside src/'],
    ['an import without its extension', 'src/http/app.ts', "import './contract';", 'is no file'],
    ['an absolute path', 'src/main.ts', "import '/etc/hallpass.js';", 'no place in the house'],
    ['an index file', 'src/broker/index.ts', 'export const a = 1;', 'is a barrel'],
    ['a barrel by another name', 'src/broker/all.ts', "export * from './issue.ts';", 'is a barrel'],
    ['a folder that nobody planned', 'src/utils/strings.ts', '', 'has no place'],
    ['a file at the root that is no leaf', 'src/helpers.ts', '', 'has no place'],
    ['a file that is no TypeScript', 'src/broker/verbs.ts', 'import {', 'cannot be parsed'],
  ])('%s', (_, path, text, fault) => {
    const faults = faultsIn(path, text);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(`${path}: `);
    expect(faults[0]).toContain(fault);
  });

  it("a vendor's SDK in two providers", () => {
    const text = "import '@aws-sdk/client-sts';";
    const faults = importFaults([
      { path: 'src/providers/aws/aws.ts', text },
      { path: 'src/providers/aws/sts.ts', text },
      { path: 'src/providers/gcp/gcp.ts', text },
    ]);
    expect(faults).toEqual([
      'src/providers/gcp/gcp.ts: providers/gcp may not import the package @aws-sdk/client-sts: it belongs to providers/aws',
    ]);
  });
});
