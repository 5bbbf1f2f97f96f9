import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { runProgram } from '../../src/cli/program.ts';
import { parsePrincipalMatcher } from '../../src/grants/principal.ts';
import { createApp } from '../../src/http/app.ts';
import { defaultHttpLimits } from '../../src/http/limits.ts';
import { prometheusMetrics } from '../../src/http/metrics.ts';
import type { Attestor } from '../../src/identity/attestor.ts';
import { type Json, sha256 } from '../../src/json.ts';
import { ok } from '../../src/result.ts';
import { REPORT_GRANT } from '../support/broker.ts';
import { createStage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';
import { fakeIo } from './support/io.ts';

const HOUR = 3_600_000;
const team = (name: string) => ({ issuer: 'staff', claims: { team: name } });
const TEAMS: Readonly<Record<string, string>> = { ada: 'sre', 'ada-lead': 'lead', cy: 'lead', dan: 'dba' };

/** Fake: a token is the name of whom it proves. */
const staff: Attestor = {
  issuer: 'staff',
  async attest(evidence, now) {
    const name = evidence.kind === 'bearer' ? evidence.token : '';
    if (!Object.hasOwn(TEAMS, name)) return null;
    const claims = { sub: name, team: TEAMS[name] ?? '' };
    const proof = { method: 'fake', evidenceHash: sha256(name), expiresAt: now + HOUR };
    return ok({ issuer: 'staff', subject: name, claims, proof });
  },
};

const grants: Readonly<Record<string, Json>> = {
  emergency: {
    ...(REPORT_GRANT as { [key: string]: Json }),
    who: [{ issuer: 'staff', claims: { sub: 'ada' } }],
    ticket_pattern: 'INC-*',
    credentials: { db: { target: 'warehouse', ttl: { max: '1h' }, scope: { role: 'admin' } } },
    approval: { stages: [{ from: [team('dba')] }] },
    break_glass: { review: { by: [team('lead')], due: '1h' } },
  },
};

it('break-glass: asked, approved, used, ended, overdue, closed by somebody else, used again; and rehearsed before', async () => {
  const store = await anyStore();
  const stage = await createStage(store);
  const matcher = (sub: string) =>
    parsePrincipalMatcher({ issuer: 'staff', claims: { sub } }, new Map([['staff', {}]]), [], []);
  const people = [{ name: 'Ada', who: ['ada', 'ada-lead'].map(matcher) }];
  const hallpass = await stage.start({ grants, people, attestors: [staff] });
  const app = createApp({
    verbs: hallpass.verbs,
    runtime: stage.runtime,
    limits: defaultHttpLimits,
    url: 'https://hallpass.example',
    log: pino({ level: 'silent' }),
    metrics: prometheusMetrics(new Registry()),
    ready: async () => ({ ready: true, reasons: [] }),
    version: '1.2.3',
  });

  /** Runs a command as somebody, in an environment of his own; `meanwhile` happens whenever it waits. */
  async function run(name: string, args: readonly string[], meanwhile = async () => {}, env = {}) {
    const { io, written } = fakeIo(
      { HALLPASS_URL: 'http://127.0.0.1:1', HALLPASS_TOKEN: name, ...env },
      {
        fetch: async (input, init) => app.request(new Request(input as URL, init)),
        sleep: meanwhile,
      },
    );
    const nothing = async () => 0;
    const status = await runProgram([...args], { io, version: '1.2.3', serve: nothing, check: nothing });
    return { status, ...written };
  }
  const approve = async () => {
    const { requests } = JSON.parse((await run('dan', ['requests', '--json'])).out);
    for (const { id, state } of requests)
      if (state === 'pending') expect((await run('dan', ['approve', id])).status).toBe(EXIT.done);
  };
  const why = ['--purpose', 'orders are stuck', '--ticket', 'INC-7'];
  const ask = ['--grant', 'emergency', '--task', 'nightly', ...why];
  const openReviews = async () =>
    JSON.parse((await run('cy', ['review', '--json'])).out).reviews as { id: string; practice: boolean }[];

  const practised = await run('ada', ['exec', ...ask, '--practice', '--', 'false'], approve);
  expect([practised.status, stage.warehouse.minted.length]).toEqual([EXIT.done, 0]);

  const got = await run('ada', ['get', ...ask], approve);
  expect(got.status).toBe(EXIT.done);
  expect(stage.warehouse.minted).toHaveLength(1);
  const [, task = '', token = ''] =
    /HALLPASS_TASK='?(\w+)'?\n.*HALLPASS_TASK_TOKEN='?([\w.-]+)'?\n/.exec(got.out) ?? [];
  const ended = await run('ada', ['complete'], undefined, {
    HALLPASS_TASK: task,
    HALLPASS_TASK_TOKEN: token,
  });
  expect(ended.status).toBe(EXIT.done);

  await stage.runtime.advance(2 * HOUR);
  await hallpass.reap();
  const kept = await run('ada', ['get', ...ask], approve);
  expect([kept.status, kept.err]).toEqual([EXIT.notAllowed, expect.stringContaining('is overdue')]);
  const real = (await openReviews()).find(({ practice }) => !practice)?.id ?? '';
  const finding = ['--finding', 'two rows repaired'];
  for (const self of ['ada', 'ada-lead'])
    expect((await run(self, ['review', 'close', real, ...finding])).status).toBe(EXIT.notAllowed);
  expect((await run('dan', ['review', 'close', real, ...finding])).status).toBe(EXIT.notFound);
  expect((await run('cy', ['review', 'close', real, ...finding])).status).toBe(EXIT.done);
  expect((await run('ada', ['get', ...ask], approve)).status).toBe(EXIT.done);
  expect(stage.warehouse.minted).toHaveLength(2);

  const kinds = (await hallpass.events())
    .filter(({ kind }) => /^(breakglass|review)\./.test(kind))
    .map(({ kind, about }) => (about.practice === true ? `practice ${kind}` : kind));
  expect(kinds.toSorted()).toEqual([
    'breakglass.opened',
    'breakglass.opened',
    'practice breakglass.opened',
    'practice review.due',
    'review.closed',
    'review.due',
  ]);
  await hallpass.reap();
  await stage.check();
  await stage.close();
  await store.stop();
});
