import { createVerbs } from '../../src/broker/create-verbs.ts';
import { createLogVerbs } from '../../src/broker/log.ts';
import type { PrincipalMatcher } from '../../src/grants/grant.ts';
import { createApp } from '../../src/http/app.ts';
import { defaultHttpLimits } from '../../src/http/limits.ts';
import type { Attestor } from '../../src/identity/attestor.ts';
import { sha256 } from '../../src/json.ts';
import type { Database } from '../../src/store/database.ts';
import { fakeProvider } from '../fakes/provider.ts';
import { asking, createTestBroker, value, WORKLOAD } from '../support/broker.ts';
import { openTestLog, silent } from '../support/log.ts';
import { createTestRuntime } from '../support/runtime.ts';

/** A broker whose log is public, with tasks that lived, and its log behind the real HTTP border. */
export async function logWorld(database: Database, { isPublic = true }: { isPublic?: boolean } = {}) {
  const runtime = createTestRuntime();
  const world = fakeProvider({ now: runtime.now });
  const hallpass = await createTestBroker({
    database,
    runtime,
    worlds: { warehouse: world },
    attestors: [anybody],
    access: [{ role: 'auditor', who: subjectIs('ada') }],
  });
  const log = await openTestLog(database, runtime);
  const app = createApp({
    verbs: createVerbs(hallpass.broker),
    runtime,
    limits: { ...defaultHttpLimits, perAddress: null, perCaller: null },
    url: 'http://127.0.0.1:1',
    log: silent,
    metrics: { request() {}, exposition: async () => ({ contentType: 'text/plain', text: '' }) },
    ready: async () => ({ ready: true, reasons: [] }),
    version: 'test',
    transparency: createLogVerbs(hallpass.broker, isPublic),
  });
  const fetchLog: typeof fetch = async (input, init) => app.request(new Request(input as URL, init));
  const leases: string[] = [];

  /** Opens and completes `count` tasks: six events each. */
  async function live(count: number): Promise<void> {
    for (let i = 0; i < count; i += 25)
      await Promise.all(
        Array.from({ length: Math.min(25, count - i) }, async () => {
          const opened = value(await hallpass.verbs.openTask(WORKLOAD, asking()));
          leases.push(opened.credentials[0]!.lease.id);
          const caller = value(
            await hallpass.verbs.identify({ kind: 'bearer', token: opened.token ?? '' }, 'test'),
          );
          value(await hallpass.verbs.completeTask(caller, opened.task.id, 0));
        }),
      );
  }

  /** Runs SQL as the owner of the tables does who wants to change history: with the triggers out of his way. */
  async function tamper(sql: string): Promise<void> {
    const off = ['audit_event', 'log_leaf'].map((table) => `alter table ${table} disable trigger all`);
    await database.script([...off, sql].join(';\n'));
  }

  async function rows<Row>(text: string): Promise<Row[]> {
    return database.query<Row>({ name: sha256(text).slice(0, 20), text }, []);
  }

  return { runtime, hallpass, ...log, app, fetchLog, leases, live, tamper, rows };
}

/** An attestor that believes what a token says: it is its subject. */
const anybody: Attestor = {
  issuer: 'ci',
  attest: async (evidence) => ({
    ok: true,
    value: {
      issuer: 'ci',
      subject: evidence.kind === 'bearer' ? evidence.token : 'nobody',
      claims: { sub: evidence.kind === 'bearer' ? evidence.token : 'nobody' },
      proof: { method: 'test', evidenceHash: 'evidence', expiresAt: Number.MAX_SAFE_INTEGER },
    },
  }),
};

function subjectIs(subject: string): PrincipalMatcher {
  return {
    issuer: 'ci',
    claims: [
      { name: 'sub', path: ['sub'], accepts: [{ text: subject, matches: (value) => value === subject }] },
    ],
  };
}
