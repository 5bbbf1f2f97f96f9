import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import type { AuditEvent } from '../../../src/audit/event.ts';
import { type Client, createClient } from '../../../src/client/client.ts';
import { loadConfig } from '../../../src/config/load.ts';
import type { ApprovalRequest } from '../../../src/http/contract.ts';
import { attestorKinds } from '../../../src/kinds.ts';
import type { ProviderKind } from '../../../src/providers/provider.ts';
import type { Runtime } from '../../../src/runtime.ts';
import { type RunningBroker, startBroker } from '../../../src/serve.ts';
import { fakeProvider } from '../../fakes/provider.ts';
import {
  type Persons,
  startIdentityProvider,
  type TestIdentityProvider,
} from '../../support/identity-provider.ts';
import { startIssuer, type TestIssuer } from '../../support/issuer.ts';
import { freePort } from '../../support/ports.ts';
import { layEmbeddedStore } from '../../support/stores.ts';
import { createUserAgent, type UserAgent } from '../../support/user-agent.ts';

/** Of the people here Ada and Grace approve, Linus operates and asks, Mallory may sign in and no more. */
const PERSONS: Persons = {
  ada: { groups: ['approvers'], email: 'ada@acme.example' },
  grace: { groups: ['approvers'], email: 'grace@acme.example' },
  linus: { groups: ['platform', 'oncall', 'approvers'], email: 'linus@acme.example' },
  mallory: { groups: ['guests'], email: 'mallory@acme.example' },
};

/** A whole broker, from a configuration, beside a real identity provider and an issuer of workloads. */
export interface PeopleWorld extends AsyncDisposable {
  readonly provider: TestIdentityProvider;
  readonly ci: TestIssuer;
  /** Where the broker is, and what it is called. */
  readonly url: string;
  /** Another process over the same store, under the same name; answers its own address. */
  replica(changes?: readonly (readonly [string, string])[]): Promise<string>;
  /** A job's request for approval of a repair, for this reason. */
  ask(purpose: string): Promise<ApprovalRequest>;
  /** One by another grant, of a job or of a person. */
  askFor(
    grant: string,
    purpose: string,
    parameters?: Record<string, string>,
    person?: string,
  ): Promise<ApprovalRequest>;
  /** A client with tokens for these claims. */
  client(claims: Record<string, unknown>): Client;
  operator: Client;
  /** A user agent that has signed in as somebody, by way of `path`. */
  signedIn(name: string, path?: string): Promise<UserAgent>;
  /** The events of a kind, oldest first. */
  events(kind: AuditEvent['kind']): Promise<AuditEvent[]>;
  /** What the brokers logged. */
  readonly logged: readonly string[];
}

export async function createPeopleWorld({
  runtime,
  databaseUrl = null,
  grants = '',
}: {
  runtime: Runtime;
  databaseUrl?: string | null;
  grants?: string;
}): Promise<PeopleWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-people-'));
  const url = `http://127.0.0.1:${await freePort()}`;
  const ci = await startIssuer({ now: runtime.now });
  const provider = await startIdentityProvider([`${url}/sign-in/callback`], PERSONS);
  if (databaseUrl === null) await layEmbeddedStore(join(folder, 'state'));
  const logged: string[] = [];
  const brokers: RunningBroker[] = [];
  const memory = fakeProvider(runtime).provider as unknown as ProviderKind;

  async function start(
    listen: string,
    changes: readonly (readonly [string, string])[],
  ): Promise<RunningBroker> {
    let text = yaml({ url, listen, folder, ci: ci.url, idp: provider.url, grants });
    for (const [from, to] of changes) text = text.replace(from, to);
    const path = join(folder, 'hallpass.yaml');
    const config = await loadConfig({
      path,
      env: { WEB_SECRET: provider.secret, ...(databaseUrl === null ? {} : { DATABASE_URL: databaseUrl }) },
      readFile: async () => ({ bytes: new TextEncoder().encode(text), mode: 0o600 }),
      attestors: attestorKinds,
      providers: { memory: async () => memory },
    });
    if (!config.ok) throw new Error(JSON.stringify(config.error));
    const log = pino({ level: 'info' }, { write: (line: string) => void logged.push(line) });
    const broker = await startBroker(config.value, runtime, log, '0.0.0');
    brokers.push(broker);
    return broker;
  }

  const client = (claims: Record<string, unknown>) =>
    createClient({ url, token: () => ci.sign({ aud: 'hallpass', jti: crypto.randomUUID(), ...claims }) });
  const askFor: PeopleWorld['askFor'] = async (grant, purpose, parameters = {}, person) => {
    let asked: ApprovalRequest | null = null;
    const stop = new AbortController();
    const who =
      person === undefined
        ? client({ sub: 'repo:acme/etl', repository_id: '42' })
        : createClient({ url, token: () => provider.idToken(person) });
    const opened = who.openTask(
      { grant, task: `repair-${crypto.randomUUID()}`, purpose, parameters },
      {
        signal: stop.signal,
        onAwaiting: (request) => {
          asked = request;
          stop.abort();
        },
      },
    );
    await opened.catch((error: unknown) => {
      if (asked === null) throw error;
    });
    if (asked === null) throw new Error('it does not wait');
    return asked;
  };
  const operator = client({ sub: 'operator', role: 'operator' });
  await start(new URL(url).host, []);
  return {
    provider,
    ci,
    url,
    logged,
    operator,
    client,
    replica: async (changes = []) => (await start('127.0.0.1:0', changes)).url,
    ask: (purpose) => askFor('repair', purpose),
    askFor,
    async signedIn(name, path = '/requests') {
      const agent = createUserAgent();
      provider.signInAs(name);
      const { response, body } = await agent.follow(`${url}${path}`);
      if (response.status !== 200) throw new Error(`${response.status}: ${/<main[\s\S]*/.exec(body)?.[0]}`);
      return agent;
    },
    events: async (kind) => (await operator.audit({ kind, limit: 500 })).events as unknown as AuditEvent[],
    async [Symbol.asyncDispose]() {
      await Promise.all(brokers.map((broker) => broker.stop()));
      await Promise.all([ci.close(), provider.close()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What a page holds: the form's token, and the digest that approving it names. */
export function formIn(body: string): { form: string; digest: string } {
  const value = (name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(body)?.[1] ?? '';
  return { form: value('form'), digest: value('digest') };
}

interface Places {
  readonly url: string;
  readonly listen: string;
  readonly folder: string;
  readonly ci: string;
  readonly idp: string;
  readonly grants: string;
}

function yaml({ url, listen, folder, ci, idp, grants }: Places): string {
  return `
broker:
  url: ${url}
  listen: ${listen}
  state_directory: ${join(folder, 'state')}

issuers:
  ci: { type: oidc, issuer: "${ci}", audience: hallpass, allow_insecure_http: true }
  staff:
    type: oidc
    issuer: ${idp}
    audience: [hallpass-web, hallpass-cli]
    allow_insecure_http: true

sign_in:
  issuer: staff
  scopes: [openid, groups]
  cli: { client_id: hallpass-cli }
  browser: { client_id: hallpass-web, client_secret_env: WEB_SECRET, session: 2h, idle: 10m }

targets:
  warehouse: { provider: memory }

grants:
  repair:
    who:
      - { issuer: ci, claims: { repository_id: "42" } }
      - { issuer: staff, claims: { groups: { contains: oncall } } }
    tasks: [{ glob: repair-* }]
    purpose: required
    approval:
      stages: [{ from: [{ issuer: staff, claims: { groups: { contains: approvers } } }] }]
    credentials:
      db: { target: warehouse, ttl: { default: 15m, max: 1h }, scope: { role: repair } }
${grants}
access:
  - { role: operator, issuer: ci, claims: { role: operator } }
  - { role: auditor, issuer: ci, claims: { role: operator } }
  - { role: operator, issuer: staff, claims: { groups: { contains: platform } } }
`;
}
