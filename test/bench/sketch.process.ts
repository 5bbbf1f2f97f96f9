import { randomBytes, randomUUID } from 'node:crypto';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import pg from 'pg';

/**
 * A yardstick, and no broker: what a lifecycle costs that checks nothing. Two requests, and four transitions with six
 * events, each durable before the next, by a group commit with two writers. No grant, version, limit, kill, index, hash
 * or deadline; it looks at no token. Nothing is signed or verified, as in a warm broker, which knows the issuer's token
 * by then and gives tokens of its own that are random.
 */
const [url = ''] = process.argv.slice(2);
const free = [new pg.Client(url), new pg.Client(url)];
for (const client of free) await client.connect();
await free[0]?.query(`
  create table sketch_lease (id text primary key, state text not null, body json);
  create table sketch_event (seq bigint generated always as identity primary key, body text not null)`);

type State = 'minting' | 'active' | 'ending' | 'ended';

interface Change {
  readonly id: string;
  readonly state: State;
  readonly events: readonly string[];
  readonly done: () => void;
}

let waiting: Change[] = [];

/** Makes a lease's state durable, with the events that say so. */
function commit(id: string, state: State, kinds: readonly string[]): Promise<void> {
  const events = kinds.map((kind) => eventText(kind, id));
  return new Promise((done) => {
    waiting.push({ id, state, events, done });
    queueMicrotask(() => void writeGroups());
  });
}

function eventText(kind: string, id: string): string {
  return JSON.stringify({
    v: 1,
    id: randomUUID(),
    at: new Date().toISOString(),
    kind,
    actor: { kind: 'principal', issuer: 'ci', subject: 'bench' },
    about: { task: id, lease: id, grant: 'memory', target: 'memory' },
    data: { name: `sketch_${id}`, scope: { role: 'reader' } },
  });
}

const WRITE = `
  with change as (select * from json_to_recordset($1::json) as x(id text, state text, body json)),
  log as (insert into sketch_event (body) select json_array_elements_text($2::json)),
  begin_lease as (insert into sketch_lease select id, state, body from change where state = 'minting')
  update sketch_lease l set state = c.state from change c
    where l.id = c.id and c.state <> 'minting' and l.id = any(array(select id from change))`;

async function writeGroups(): Promise<void> {
  const client = waiting.length > 0 ? free.pop() : undefined;
  if (client === undefined) return;
  while (waiting.length > 0) {
    const group = waiting;
    waiting = [];
    const changes = group.map(({ id, state }) => ({ id, state, body: state === 'minting' ? { id } : null }));
    const events = group.flatMap((change) => change.events);
    await client.query({
      name: 'write',
      text: WRITE,
      values: [JSON.stringify(changes), JSON.stringify(events)],
    });
    for (const { done } of group) done();
  }
  free.push(client);
}

const app = new Hono();

app.post('/v1/tasks', async (c) => {
  await c.req.json();
  const id = randomUUID();
  await commit(id, 'minting', ['task.opened', 'lease.intended']);
  await commit(id, 'active', ['lease.issued']);
  return c.json({
    task: { id },
    token: randomBytes(32).toString('base64url'),
    credentials: { c: randomUUID() },
  });
});

app.post('/v1/tasks/:id/complete', async (c) => {
  const id = c.req.param('id');
  await commit(id, 'ending', ['task.ended', 'lease.ending']);
  await commit(id, 'ended', ['lease.ended']);
  return c.json({ task: { id, state: 'ended' } });
});

serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) =>
  process.send?.({ url: `http://127.0.0.1:${port}` }),
);
process.once('SIGTERM', () => process.exit());
process.once('disconnect', () => process.exit());
