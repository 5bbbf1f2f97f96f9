import autocannon from 'autocannon';

/** What a load came to. Latencies are milliseconds. */
export interface Load {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly failures: number;
}

/** GETs an address again and again. */
export async function loadEmpty(url: string, connections: number, seconds: number): Promise<Load> {
  const result = await autocannon({ url, connections, duration: seconds });
  return {
    perSecond: result.requests.average,
    p50: result.latency.p50,
    p99: result.latency.p99,
    failures: result.non2xx + result.errors,
  };
}

/** Opens a task and completes it, again and again, on each connection. */
export async function loadLifecycles(
  url: string,
  token: string,
  grant: string,
  connections: number,
  seconds: number,
): Promise<{
  readonly perSecond: number;
  readonly failures: number;
  readonly open: Load;
  readonly complete: Load;
}> {
  const open: number[] = [];
  const complete: number[] = [];
  let failures = 0;
  const startedAt = performance.now();
  const deadline = startedAt + seconds * 1000;
  const { Agent, request } = await import('undici');
  const agent = new Agent({ connections, pipelining: 1 });
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const ask = JSON.stringify({ grant, task: 'bench' });

  async function post(
    path: string,
    body: string,
    bearer: string | null,
    times: number[],
  ): Promise<string | null> {
    const before = performance.now();
    const answer = await request(`${url}${path}`, {
      method: 'POST',
      dispatcher: agent,
      headers: bearer === null ? headers : { ...headers, authorization: `Bearer ${bearer}` },
      body,
    });
    const text = await answer.body.text();
    times.push(performance.now() - before);
    if (answer.statusCode < 300) return text;
    failures++;
    if (failures === 1) process.stderr.write(`first failure: ${answer.statusCode} ${text}\n`);
    return null;
  }

  async function runOne(): Promise<void> {
    while (performance.now() < deadline) {
      const opened = await post('/v1/tasks', ask, null, open);
      if (opened === null) continue;
      const { task, token: bearer } = JSON.parse(opened) as { task: { id: string }; token: string };
      await post(`/v1/tasks/${task.id}/complete`, '{}', bearer, complete);
    }
  }
  await Promise.all(Array.from({ length: connections }, runOne));
  const elapsed = (performance.now() - startedAt) / 1000;
  await agent.close();
  return {
    perSecond: complete.length / elapsed,
    failures,
    open: summary(open, elapsed),
    complete: summary(complete, elapsed),
  };
}

function summary(times: number[], elapsed: number): Load {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { perSecond: sorted.length / elapsed, p50: at(0.5), p99: at(0.99), failures: 0 };
}
