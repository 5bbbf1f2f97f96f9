import { pino } from 'pino';
import { Registry } from 'prom-client';
import { parsePrincipalMatcher } from '../../../src/grants/principal.ts';
import { createApp } from '../../../src/http/app.ts';
import { defaultHttpLimits, defaultServerLimits } from '../../../src/http/limits.ts';
import { prometheusMetrics } from '../../../src/http/metrics.ts';
import { startServer } from '../../../src/http/server.ts';
import { createOidcAttestor } from '../../../src/identity/oidc/attestor.ts';
import type { Json } from '../../../src/json.ts';
import { fakeProvider, type MemoryWorld } from '../../fakes/provider.ts';
import { settingsOf } from '../../identity/oidc/world.ts';
import { createTestBroker, REPORT_GRANT, type TestBroker } from '../../support/broker.ts';
import { startIssuer, type TestIssuer } from '../../support/issuer.ts';
import { createTestRuntime, type TestRuntime } from '../../support/runtime.ts';
import { anyStore } from '../../support/stores.ts';

/** The grant `report` for one repository, and `assisted` for it with an agent who acts for it. */
const GRANTS: Readonly<Record<string, Json>> = {
  report: REPORT_GRANT,
  assisted: {
    ...(REPORT_GRANT as { readonly [key: string]: Json }),
    who: [
      {
        issuer: 'ci',
        claims: { repository_id: '42' },
        actor: { issuer: 'agents', claims: { sub: 'agent-7' } },
      },
    ],
  },
};

/** A broker that listens, with two issuers that do: `ci` knows jobs and people, `agents` knows agents. */
export interface OAuthWorld {
  readonly url: string;
  readonly runtime: TestRuntime;
  readonly ci: TestIssuer;
  readonly agents: TestIssuer;
  readonly target: MemoryWorld;
  readonly hallpass: TestBroker;
  /** A token of the job that both grants are for. */
  job(claims?: Record<string, unknown>): Promise<string>;
  /** A token of the agent whom `assisted` names. */
  agent(claims?: Record<string, unknown>): Promise<string>;
  /** A token of an operator. */
  operator(): Promise<string>;
  /** The details of the last refusal in the log. */
  lastRefusal(): Promise<string>;
  close(): Promise<void>;
}

export async function openOAuthWorld(issuerSettings: Record<string, unknown> = {}): Promise<OAuthWorld> {
  // The clients of these tests have clocks of their own.
  const runtime = createTestRuntime({ now: Date.now() });
  const store = await anyStore();
  const database = await store.open();
  const [ci, agents] = await Promise.all([
    startIssuer({ now: runtime.now }),
    startIssuer({ now: runtime.now }),
  ]);
  const target = fakeProvider({ now: runtime.now });
  let answer: (request: Request, env: object) => Response | Promise<Response> = () => new Response();
  const server = await startServer({
    app: { fetch: (request, env) => answer(request, env) },
    listen: { host: '127.0.0.1', port: 0 },
    limits: defaultServerLimits,
    runtime,
  });
  const { url } = server.address;
  const attestors = [ci, agents].map((issuer, i) =>
    createOidcAttestor(
      i === 0 ? 'ci' : 'agents',
      settingsOf({ issuer: issuer.url, ...issuerSettings }),
      runtime,
    ),
  );
  const people = { issuer: 'ci', claims: { sub: 'people:mona' } };
  const hallpass = await createTestBroker({
    database,
    runtime,
    worlds: { warehouse: target },
    grants: GRANTS,
    attestors,
    access: [{ role: 'operator', who: parsePrincipalMatcher(people, new Map([['ci', {}]]), [], []) }],
    url,
    limits: { endWaitMs: 50 },
  });
  const app = createApp({
    verbs: hallpass.verbs,
    runtime,
    limits: defaultHttpLimits,
    url,
    log: pino({ level: 'silent' }),
    metrics: prometheusMetrics(new Registry()),
    ready: async () => ({ ready: true, reasons: [] }),
    version: '1.2.3',
  });
  answer = (request, env) => app.fetch(request, env);
  return {
    url,
    runtime,
    ci,
    agents,
    target,
    hallpass,
    job: (claims) => ci.sign({ sub: 'repo:acme/etl', repository_id: '42', ...claims }),
    agent: (claims) => agents.sign({ sub: 'agent-7', ...claims }),
    operator: () => ci.sign({ sub: 'people:mona' }),
    async lastRefusal() {
      const refused = (await hallpass.events()).filter((event) => event.kind === 'request.refused');
      const last = refused.at(-1);
      return last?.kind === 'request.refused' ? last.data.detail : 'none';
    },
    async close() {
      await server.stop(1_000);
      await Promise.all([ci.close(), agents.close(), database.close()]);
      await store.stop();
    },
  };
}
