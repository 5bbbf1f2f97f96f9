import { posix } from 'node:path';
import { parseSync, Visitor } from 'oxc-parser';

/**
 * Which part of src/ may import which, as DESIGN.md draws the house. A part is a folder (`broker`), a file that has
 * arrows of its own (`http/contract.ts`), or each of the folders in a folder (`providers/*`), which know nothing of one
 * another. An arrow leads to a part or to one file. Every part may import itself, and all but the contract the leaves.
 * `types` are arrows for `import type` alone.
 */
const ARROWS: Readonly<Record<string, Arrows>> = {
  leaves: {},
  main: { values: ['everything'] },
  // The kinds of events, so that nobody waits for news of a kind that there is not; and what each part wants to be told.
  config: {
    values: ['grants', 'providers/provider.ts', 'audit/schema.ts', 'audit/log-keys.ts'],
    types: [
      'identity/attestor.ts',
      'export/create.ts',
      'issuer/compose.ts',
      'notify/create.ts',
      'signals/compose.ts',
    ],
  },
  http: {
    // The forms of the log are the same for all who read them.
    values: ['broker', 'http/contract.ts', 'audit'],
    types: [
      'store/rows.ts',
      'audit/event.ts',
      'grants/grant.ts',
      'notify/slack/desk.ts',
      'signals/receive.ts',
      'sign-in',
    ],
  },
  'http/contract.ts': {},
  // Asks an identity provider who has signed in: an outbound conversation, which neither a border nor an attestor has.
  'sign-in': {},
  // It claims rows itself; passing that through the broker would add nothing. What it claims it ends through broker/.
  reaper: { values: ['broker', 'store'], types: ['providers/provider.ts'] },
  // Pure: what a request for approval can become, and who counts.
  approvals: { values: ['grants'], types: ['store/rows.ts', 'identity/attestor.ts'] },
  broker: {
    values: ['store', 'grants', 'approvals', 'audit', 'trails'],
    types: ['identity/attestor.ts', 'providers/provider.ts'],
  },
  // Pure: what the audit trails of clouds say.
  trails: {},
  sequencer: { values: ['store', 'audit'] },
  export: { values: ['store', 'audit'] },
  // It follows the log as the export does, and takes clicks as the border takes requests: through the broker.
  notify: {
    values: ['export', 'audit', 'broker'],
    types: ['store/rows.ts'],
  },
  // The same, with the signed tokens of others and of the broker itself.
  signals: {
    values: ['export', 'audit', 'broker', 'identity/jwt'],
    types: ['issuer/issuer.ts'],
  },
  issuer: { values: ['store'] },
  // What a sealed kit is: the broker that it holds is put together by the composition root, like any.
  offline: { types: ['identity/attestor.ts'] },
  store: { values: ['audit'], types: ['grants', 'identity/attestor.ts'] },
  grants: { types: ['identity/attestor.ts', 'providers/provider.ts'] },
  'identity/*': { values: ['identity/attestor.ts', 'identity/jwt', 'identity/x509', 'identity/files.ts'] },
  'identity/jwt': { values: ['identity/attestor.ts'] },
  'identity/x509': { values: ['identity/attestor.ts'] },
  'identity/files.ts': {},
  'identity/presets': {
    values: ['identity/attestor.ts', 'identity/jwt', 'identity/files.ts', 'identity/oidc'],
  },
  'providers/*': {
    values: ['providers/provider.ts', 'providers/self-test.ts', 'providers/elsewhere.ts'],
  },
  audit: {},
  client: { values: ['http/contract.ts'] },
  cli: { values: ['client', 'audit'], types: ['http/contract.ts'] },
  console: { values: ['client'] },
};

interface Arrows {
  readonly values?: readonly string[];
  readonly types?: readonly string[];
}

/** The executable, and what it loads when a command needs it. */
const COMPOSITION = new Set([
  'kit.ts',
  'main.ts',
  'serve.ts',
  'check.ts',
  'check-live.ts',
  'archive.ts',
  'rewrap.ts',
  'compose-border.ts',
  'compose-broker.ts',
  'compose-sign-in.ts',
  'kinds.ts',
  'offline-seal.ts',
  'offline-run.ts',
  'offline-replay.ts',
  'outward.ts',
]);

const LEAVES = new Set([
  'errors.ts',
  'result.ts',
  'runtime.ts',
  'limits.ts',
  'loop.ts',
  'gather.ts',
  'duration.ts',
  'instant.ts',
  'json.ts',
  'outbound.ts',
  'node-errors.ts',
]);

/**
 * Which parts may import a package, for its types too. A package that is not named here is a vendor's SDK: it belongs
 * to the one folder of `providers/` or `identity/` that imports it, and to nobody else.
 */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  // Guards the master key.
  '@aws-sdk/client-kms': ['issuer'],
  // Finds a caller's credentials for `hallpass identity aws`, and signs with them.
  '@aws-sdk/credential-provider-node': ['cli', 'providers/*'],
  '@smithy/signature-v4': ['cli', 'providers/*'],
  '@electric-sql/pglite': ['store'],
  '@hono/node-server': ['http', 'main'],
  '@hono/zod-openapi': ['http'],
  '@marcbachmann/cel-js': ['grants'],
  'cli-table3': ['cli'],
  commander: ['cli', 'main'],
  'drizzle-orm': ['store'],
  hono: ['http', 'main'],
  jose: ['identity/*', 'issuer', 'providers/*', 'broker', 'client', 'cli'],
  nodemailer: ['notify'],
  'lru-cache': ['http'],
  // The protocol of sign-in, for browsers and for the command line.
  oauth4webapi: ['sign-in', 'cli'],
  'p-limit': ['broker', 'reaper', 'store', 'identity/*', 'providers/*', 'cli'],
  // The Postgres provider speaks to its targets with it; our own database is the store's alone.
  pg: ['store', 'providers/postgres'],
  pino: ['main', 'http', 'broker', 'reaper', 'sequencer', 'export', 'cli'],
  'prom-client': ['main', 'http', 'broker', 'reaper', 'export'],
  'shamir-secret-sharing': ['offline'],
  undici: ['leaves', 'identity/*'],
  yaml: ['config', 'cli'],
  zod: ['everywhere'],
};

/** The one file that imports what a configuration names. */
const PACKAGE_LOADER = 'src/config/packages.ts';

/** Parts without I/O and without a clock, and what they may have of Node. */
const PURE: Readonly<Record<string, readonly string[]>> = {
  approvals: [],
  grants: ['node:crypto'],
  audit: ['node:crypto'],
  trails: [],
  'http/contract.ts': [],
};

export interface SourceFile {
  /** From the root of the repository, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** Every import under src/ that the house does not allow, every barrel, and every file that has no place: a sentence each. */
export function importFaults(files: readonly SourceFile[]): string[] {
  const paths = new Set(files.map((file) => file.path));
  const vendors = new Map<string, string>();
  return files.flatMap((file) => faultsOf(file, paths, vendors));
}

function faultsOf(file: SourceFile, paths: ReadonlySet<string>, vendors: Map<string, string>): string[] {
  const part = partOf(file.path);
  if (part === null) return [`${file.path}: has no place in the house`];
  const { imports, barrel, errors } = parse(file);
  const faults = errors.map((error) => `cannot be parsed: ${error}`);
  // What the package exports to others is named in one file; nothing of ours reads it.
  if ((barrel && file.path !== 'src/kit.ts') || posix.basename(file.path) === 'index.ts')
    faults.push('is a barrel: import from the file itself');
  for (const found of imports) {
    const fault = faultOf(found, file.path, part, paths, vendors);
    if (fault !== null) faults.push(fault);
  }
  return faults.map((fault) => `${file.path}: ${fault}`);
}

function faultOf(
  { specifier, typeOnly }: Import,
  path: string,
  part: string,
  paths: ReadonlySet<string>,
  vendors: Map<string, string>,
): string | null {
  if (specifier === null && path === PACKAGE_LOADER) return null;
  if (specifier === null) return 'imports a module whose name is computed: write it as a plain string';
  if (specifier.startsWith('node:')) return nodeFault(specifier, part);
  if (!specifier.startsWith('.')) return packageFault(specifier, part, vendors);

  const target = posix.join(posix.dirname(path), specifier);
  if (!target.startsWith('src/')) return `imports ${specifier}, which is outside src/`;
  if (!paths.has(target)) return `imports ${specifier}, which is no file`;
  if (mayImport(part, target, typeOnly)) return null;
  const advice = mayImport(part, target, true) ? ' other than for its types' : '';
  return `${part} may not import ${specifier}${advice}`;
}

function mayImport(from: string, target: string, typeOnly: boolean): boolean {
  const to = partOf(target);
  if (to === from || to === null) return true; // A target without a place is reported as a file.
  if (to === 'leaves') return from !== 'http/contract.ts';
  const { values = [], types = [] } = ARROWS[generic(from)] ?? {};
  const arrows = typeOnly ? [...values, ...types] : values;
  return ['everything', to, target.replace(/^src\//, '')].some((end) => arrows.includes(end));
}

function nodeFault(specifier: string, part: string): string | null {
  const allowed = PURE[part];
  return allowed === undefined || allowed.includes(specifier)
    ? null
    : `${part} is pure and may not import ${specifier}`;
}

function packageFault(specifier: string, part: string, vendors: Map<string, string>): string | null {
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  const homes = Object.hasOwn(PACKAGES, name) ? PACKAGES[name] : undefined;
  if (homes !== undefined) {
    const fits = ['everywhere', part, kindred(part)].some((home) => homes.includes(home));
    return fits ? null : `${part} may not import the package ${name}: its place is ${homes.join(', ')}`;
  }
  if (!Object.hasOwn(ARROWS, kindred(part)))
    return `${part} imports the package ${name}, which has no place in the house`;
  const owner = vendors.get(name) ?? part;
  vendors.set(name, owner);
  return owner === part ? null : `${part} may not import the package ${name}: it belongs to ${owner}`;
}

/** `identity/oidc` and `providers/aws` are parts of their own; all others are named by the table. */
function partOf(path: string): string | null {
  const inside = path.replace(/^src\//, '');
  if (LEAVES.has(inside)) return 'leaves';
  if (COMPOSITION.has(inside)) return 'main';
  if (Object.hasOwn(ARROWS, inside)) return inside;
  const [folder = '', next] = inside.split('/');
  if (next === undefined) return null;
  if (Object.hasOwn(ARROWS, `${folder}/*`)) return `${folder}/${next}`;
  return Object.hasOwn(ARROWS, folder) ? folder : null;
}

function generic(part: string): string {
  return Object.hasOwn(ARROWS, part) ? part : `${posix.dirname(part)}/*`;
}

/** The parts of the same folder: what one of them may use of others' packages all may, also one with arrows of its own. */
function kindred(part: string): string {
  return `${posix.dirname(part)}/*`;
}

interface Import {
  /** Null when it is computed. */
  readonly specifier: string | null;
  readonly typeOnly: boolean;
}

/**
 * What a file imports and re-exports, statically, dynamically and in types. `import { type A }` is a value arrow: under
 * verbatimModuleSyntax the import stays when the name is erased.
 */
function parse({ path, text }: SourceFile): {
  readonly imports: readonly Import[];
  readonly barrel: boolean;
  readonly errors: readonly string[];
} {
  const { program, errors } = parseSync(path, text);
  const imports: Import[] = [];
  const add = (source: unknown, typeOnly: boolean): void => {
    imports.push({ specifier: literal(source), typeOnly });
  };
  new Visitor({
    ImportDeclaration: (node) => add(node.source, node.importKind === 'type'),
    ExportAllDeclaration: (node) => add(node.source, node.exportKind === 'type'),
    ExportNamedDeclaration: (node) => {
      if (node.source !== null) add(node.source, node.exportKind === 'type');
    },
    ImportExpression: (node) => add(node.source, false),
    TSImportType: (node) => add(node.source, true),
  }).visit(program);
  const reexports = program.body.filter(
    (node) => 'source' in node && node.type.startsWith('Export') && node.source,
  );
  return {
    imports,
    barrel: program.body.length > 0 && reexports.length === program.body.length,
    errors: errors.map((error) => error.message),
  };
}

function literal(source: unknown): string | null {
  const value = source !== null && typeof source === 'object' && 'value' in source ? source.value : null;
  return typeof value === 'string' ? value : null;
}
