import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient } from '../../src/client/client.ts';
import { type OAuthWorld, openOAuthWorld } from '../http/oauth/world.ts';

let world: OAuthWorld;
beforeAll(async () => {
  world = await openOAuthWorld();
});
afterAll(() => world.close());

const request = { grant: 'report', task: 'nightly' };
const connect = () => createClient({ url: world.url, token: () => world.job(), dpop: true, maxAttempts: 1 });

test('dpop: a task does everything with its key, and its token does nothing without', async () => {
  const task = await connect().openTask(request);
  expect(task.task.cnf?.jkt).toMatch(/^[\w-]{43}$/);
  const stolen = createClient({ url: world.url, token: async () => task.token, maxAttempts: 1 });
  await expect(stolen.readTask(task.id)).rejects.toMatchObject({ code: 'invalid-proof', status: 401 });
  await expect(stolen.completeTask(task.id)).rejects.toMatchObject({ code: 'invalid-proof' });
  await task.heartbeat();
  await task.renew(600);
  expect(await task.addCredentials({ credentials: ['db'] })).toHaveLength(1);
  expect((await task.complete(0)).leases.every((lease) => lease.state === 'ended')).toBe(true);
});

test('dpop: goes on with the nonce of the broker when the clocks differ', async () => {
  world.runtime.jump(3_600_000);
  const task = await connect().openTask(request);
  await task.heartbeat();
  await task.complete(0);
});

test('dpop: an actor token goes with the request', async () => {
  const client = connect();
  const task = await client.openTask({ ...request, grant: 'assisted', actor_token: await world.agent() });
  expect(task.task.actors).toEqual([{ issuer: 'agents', subject: 'agent-7' }]);
  await expect(client.openTask({ ...request, actor_token: await world.agent() })).rejects.toMatchObject({
    code: 'not-allowed',
  });
});
