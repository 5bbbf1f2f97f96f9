import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';

/** What a storm is told, and what it answers. */
export interface Storm {
  /** Addresses of replicas. */
  readonly urls: readonly string[];
  readonly token: string;
  readonly clients: number;
  readonly ms: number;
}

export interface StormAnswers {
  /** How often each code was answered; `ok`, or `no answer` where there was none. */
  readonly codes: Readonly<Record<string, number>>;
  /** Answers with status 503 that did not say when to come again. */
  readonly withoutRetryAfter: number;
}

/** Clients that ask for ever more, and come again at once whatever they hear. In a process of their own: they keep nobody else from answering. */
process.once('message', async ({ urls, token, clients, ms }: Storm) => {
  const until = performance.now() + ms;
  // On a slow machine it takes a while until there is more than there is room for.
  const goesOn = () =>
    performance.now() < until || (codes.overloaded === undefined && performance.now() < until + PATIENCE_MS);
  const codes: Record<string, number> = {};
  let withoutRetryAfter = 0;
  const agent = new Agent({ connections: Math.ceil(clients / urls.length), pipelining: 1 });
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const body = JSON.stringify({ grant: 'short', task: 'storm' });

  async function ask(url: string): Promise<string> {
    try {
      const answer = await request(`${url}/v1/tasks`, { method: 'POST', headers, body, dispatcher: agent });
      const text = await answer.body.text();
      if (answer.statusCode === 503 && !('retry-after' in answer.headers)) withoutRetryAfter++;
      return answer.statusCode < 300 ? 'ok' : String((JSON.parse(text) as { code: string }).code);
    } catch {
      return 'no answer';
    }
  }
  async function client(url: string): Promise<void> {
    while (goesOn()) {
      const code = await ask(url);
      codes[code] = (codes[code] ?? 0) + 1;
      if (code !== 'ok') await delay(AGAIN_MS);
    }
  }
  const all = Array.from({ length: clients }, (_, number) => client(urls[number % urls.length] ?? ''));
  await Promise.all(all);
  await agent.close();
  process.send?.({ codes, withoutRetryAfter } satisfies StormAnswers);
  process.disconnect();
});

const PATIENCE_MS = 60_000;

/** Far sooner than `Retry-After` asks. */
const AGAIN_MS = 100;
process.send?.('ready');
