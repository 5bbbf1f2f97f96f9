import { readdirSync, readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseGrant } from '../../src/grants/parse.ts';
import type { Json } from '../../src/json.ts';
import { attestorKinds } from '../../src/kinds.ts';
import { provider } from '../../src/providers/postgres/provider.ts';

const DEPLOY = fileURLToPath(new URL('../../deploy/', import.meta.url));
const recipes = readdirSync(DEPLOY, { recursive: true, encoding: 'utf8' }).filter(
  (name) => !name.includes('/dist/'),
);
const grants = recipes.filter((name) => name.endsWith('grant.yaml'));

interface Recipe {
  readonly issuers: Record<string, { type: string; audience: string }>;
  readonly grants: Record<string, Json & { credentials: Record<string, { scope: Json }> }>;
}
const read = (name: string) => parse(readFileSync(`${DEPLOY}${name}`, 'utf8')) as Recipe;

it('there is a grant beside every recipe', () => {
  expect(grants.toSorted()).toEqual([
    'ci/buildkite/grant.yaml',
    'ci/circleci/grant.yaml',
    'ci/github-action/grant.yaml',
    'ci/gitlab/grant.yaml',
    'kubernetes/grant.yaml',
  ]);
});

it.each(grants)('%s: the broker takes it as it is', async (name) => {
  const { issuers, grants: raw } = read(name);
  const world = {
    issuers: new Map(
      await Promise.all(
        Object.entries(issuers).map(async ([issuer, settings]) => {
          const kind = await attestorKinds[settings.type]!();
          // What the kubelet gives to a pod.
          const resolved = kind.resolve(kind.settings.parse(settings), { ca_file: rootCertificates[0]! });
          expect(resolved).toMatchObject({ ok: true });
          return [issuer, resolved.ok ? kind.describe(resolved.value) : {}] as const;
        }),
      ),
    ),
    targets: new Map([['warehouse', { kind: provider, settings: {} }]]),
  };
  for (const [grant, content] of Object.entries(raw)) {
    expect(parseGrant(grant, content, world)).toMatchObject({ ok: true });
    for (const { scope } of Object.values(content.credentials))
      expect(provider.scope.safeParse(scope).success).toBe(true);
  }
});

it('buildkite: asks for the ids that its grant pins, which no token has otherwise', () => {
  const { steps } = parse(readFileSync(`${DEPLOY}ci/buildkite/pipeline.yml`, 'utf8')) as {
    steps: { command: string }[];
  };
  const text = readFileSync(`${DEPLOY}ci/buildkite/grant.yaml`, 'utf8');
  const pinned = [...text.matchAll(/^ +(\w+_id):/gm)].map((match) => match[1]!);
  expect(pinned).toEqual(['organization_id', 'pipeline_id']);
  for (const claim of pinned) expect(steps[0]!.command).toContain(`--claim ${claim}`);
});

it('kubernetes: the broker is given a way to the keys of the cluster that it may read', () => {
  // An API server shows its keys to who has a token of the cluster and this role, over a certificate of its own authority.
  const broker = readFileSync(`${DEPLOY}kubernetes/broker.yaml`, 'utf8');
  expect(broker).toContain('system:service-account-issuer-discovery');
  const { cluster } = read('kubernetes/grant.yaml').issuers;
  expect(cluster).toMatchObject({ type: 'kubernetes', in_cluster: true });
});

it.each(grants)('%s: the recipe beside it asks for this audience, this grant and this task', (name) => {
  const folder = name.replace(/grant\.yaml$/, '');
  const texts = recipes
    .filter((other) => other.startsWith(folder) && /\.ya?ml$/.test(other) && other !== name)
    .map((other) => readFileSync(`${DEPLOY}${other}`, 'utf8'))
    .join('\n');
  const { issuers, grants: raw } = read(name);
  for (const { audience } of Object.values(issuers)) expect(texts).toContain(audience);
  for (const grant of Object.keys(raw)) expect(texts).toContain(grant);
});
