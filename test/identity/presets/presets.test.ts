import { expect, onTestFinished, test } from 'vitest';
import type { Fault } from '../../../src/grants/fault.ts';
import { matchesPrincipal, parsePrincipalMatcher } from '../../../src/grants/principal.ts';
import type { Json } from '../../../src/json.ts';
import { startIssuer } from '../../support/issuer.ts';
import { createTestRuntime } from '../../support/runtime.ts';
import { type Case, cases, github, kindOf, ORGANIZATION, open } from './cases.ts';

async function matcherOf(preset: Case, claims: Record<string, Json>) {
  const { described } = await open(preset);
  const faults: Fault[] = [];
  const matcher = parsePrincipalMatcher({ issuer: 'ci', claims }, new Map([['ci', described]]), [], faults);
  return { matcher, messages: faults.map(({ message }) => message) };
}

const named = cases.map((one) => [`${one.type} ${one.iss}`, one] as const);

test.each(named)('%s: knows its issuer, and takes a grant that says who', async (_, preset) => {
  expect((await open(preset)).described.url).toBe(preset.iss);
  expect(preset.good).not.toEqual([]);
  for (const claims of preset.good) {
    expect((await matcherOf(preset, claims)).messages, JSON.stringify(claims)).toEqual([]);
  }
});

test.each(named)('%s: refuses a grant that says less, and says what to write (7)', async (_, preset) => {
  expect((await matcherOf(preset, {})).messages).not.toEqual([]);
  expect((await matcherOf(preset, { aud: 'hallpass' })).messages).not.toEqual([]);
  for (const [claims, hint] of preset.bad) {
    const { messages } = await matcherOf(preset, claims);
    expect(messages.join('\n'), JSON.stringify(claims)).toMatch(hint);
  }
});

test.each(named)('%s: proves a token of its issuer, and no other', async (_, preset) => {
  const runtime = createTestRuntime();
  const issuer = await startIssuer({ now: runtime.now, algorithms: ['RS256', 'ES256'] });
  onTestFinished(() => issuer.close());
  const { kind, settings } = await open(preset, { jwks_file: JSON.stringify(issuer.jwks()) });
  const attestor = kind.create('ci', settings, runtime);
  const attest = async (claims: Record<string, unknown>) =>
    attestor.attest(
      { kind: 'bearer', token: await issuer.sign({ iss: preset.iss, ...preset.claims, ...claims }) },
      runtime.now(),
      new AbortController().signal,
    );
  const verdict = await attest({});
  if (!verdict?.ok) throw new Error(JSON.stringify(verdict));
  const { matcher } = await matcherOf(preset, preset.good[0]!);
  expect(matchesPrincipal(matcher, verdict.value)).toBe(true);
  expect(await attest({ iss: `${preset.iss}x` })).toBeNull();
  expect(await attest({ aud: 'vault' })).toMatchObject({ ok: false, error: { reason: 'audience' } });
  expect(runtime.hosts).toEqual([]);
});

test('github: a name with a new id, a fork and a stranger get nothing (8, 13)', async () => {
  const preset = cases[0]!;
  const { matcher } = await matcherOf(preset, { repository_id: '812345', event_name: 'push' });
  const holds = (claims: Record<string, Json>) =>
    matchesPrincipal(matcher, {
      issuer: 'ci',
      subject: 's',
      claims: { ...github, ...claims },
      proof: { method: 'oidc', evidenceHash: '', expiresAt: 0 },
    });
  expect(holds({})).toBe(true);
  expect(holds({ repository_id: '999' })).toBe(false);
  expect(holds({ repository: 'mallory/etl', repository_id: '999' })).toBe(false);
  expect(holds({ repository_id: 812345 })).toBe(false);
  expect(holds({ event_name: 'pull_request_target' })).toBe(false);
});

test('github: an environment with an escaped colon is never taken for other fields (11)', async () => {
  const preset = cases[0]!;
  const claims = {
    sub: { glob: 'repo:acme@77/etl@812345:environment:*' },
    event_name: 'push',
  };
  const { matcher, messages } = await matcherOf(preset, claims);
  expect(messages).toEqual([]);
  const holds = (sub: string) =>
    matchesPrincipal(matcher, {
      issuer: 'ci',
      subject: sub,
      claims: { event_name: 'push', sub },
      proof: { method: 'oidc', evidenceHash: '', expiresAt: 0 },
    });
  expect(holds('repo:acme@77/etl@812345:environment:prod')).toBe(true);
  expect(holds('repo:acme@77/etl@812345:environment:a%3Ab')).toBe(true);
  expect(holds('repo:acme@77/etl@812345:environment:a:ref:refs/heads/main')).toBe(false);
  expect(holds('repo:acme@77/etl@812345%3Aenvironment%3Aprod')).toBe(false);
  expect(holds('repo:acme@77/etl@812345:pull_request')).toBe(false);
});

test('github: the right workflow at another ref or of another owner is another (10)', async () => {
  const { matcher } = await matcherOf(cases[0]!, {
    repository_id: '812345',
    event_name: 'push',
    job_workflow_ref: github.job_workflow_ref,
  });
  const holds = (ref: string) =>
    matchesPrincipal(matcher, {
      issuer: 'ci',
      subject: 's',
      claims: { ...github, job_workflow_ref: ref },
      proof: { method: 'oidc', evidenceHash: '', expiresAt: 0 },
    });
  expect(holds(github.job_workflow_ref)).toBe(true);
  expect(holds('acme/etl/.github/workflows/nightly.yml@refs/heads/evil')).toBe(false);
  expect(holds('mallory/etl/.github/workflows/nightly.yml@refs/heads/main')).toBe(false);
  expect(holds('acme/etl/.github/workflows/nightly.yml@refs/pull/7/merge')).toBe(false);
});

test('circleci, bitbucket: without an audience the usual one is asked for', async () => {
  const circleci = await kindOf('circleci');
  expect(circleci.settings.parse({ type: 'circleci', organization_id: ORGANIZATION })).toMatchObject({
    audience: ORGANIZATION,
  });
  const bitbucket = await kindOf('bitbucket');
  const written = { type: 'bitbucket', workspace: 'acme', workspace_uuid: ORGANIZATION };
  expect(bitbucket.settings.parse(written)).toMatchObject({
    audience: `ari:cloud:bitbucket::workspace/${ORGANIZATION}`,
  });
});

test('presets: an address that is no https is a fault of the setting that it came from', async () => {
  const kind = await kindOf('github-enterprise');
  const written = kind.settings.parse({
    type: 'github-enterprise',
    audience: 'hallpass',
    server_url: 'http://github.acme.example',
  });
  expect(kind.resolve(written, {})).toMatchObject({ ok: false, error: [{ setting: 'server_url' }] });
});
