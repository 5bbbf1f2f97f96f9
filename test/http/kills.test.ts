import { expect, it } from 'vitest';
import * as contract from '../../src/http/contract.ts';
import { fakeBorder, get, post } from '../fakes/border.ts';

it('createApp: kills, tells what is left, lists blocks and lifts them, as the contract says', async () => {
  const { app, verbs } = fakeBorder();
  const token = verbs.admit('operator', ['operator']);
  verbs.killRest = [{ target: 'db', left: 2, failing: 1, latestExpiry: 0, expiryOnly: false }];
  const made = await app.request('/v1/kills', post({ grant: 'reports', reason: 'x' }, token));
  expect(made.status).toBe(201);
  const { kill, left } = contract.killProgress.strict().parse(await made.json());
  expect(left).toBe(2);
  const read = await app.request(`/v1/kills/${kill.id}`, get(token));
  expect(contract.killProgress.strict().parse(await read.json()).kill).toEqual(kill);
  const listed = await app.request('/v1/blocks', get(token));
  expect(contract.blocks.strict().parse(await listed.json()).blocks).toEqual([kill]);
  const lifted = await app.request(`/v1/blocks/${kill.id}/lift`, post({ reason: 'y' }, token));
  expect(contract.killResponse.strict().parse(await lifted.json()).kill.lift_reason).toBe('y');
  for (const body of [{ grant: 'reports' }, { all: false, reason: 'x' }, { nonsense: 1, reason: 'x' }]) {
    expect((await app.request('/v1/kills', post(body, token))).status).toBe(400);
  }
  expect((await app.request(`/v1/kills/${'0'.repeat(26)}`, get(token))).status).toBe(404);
});
