import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Minted, Terms } from '../../../src/providers/provider.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { endingOf, failure, soon, termsOf } from '../../conformance/provider.ts';
import { AwsFault, type FakeRole } from '../../fakes/aws-sts.ts';
import { type AwsWorld, MARK, onlyUnder, ROLE, read, scope, startAwsWorld } from './world.ts';

let world: AwsWorld;
let role: FakeRole;
beforeAll(async () => {
  world = await startAwsWorld();
  role = world.aws.roles.get(ROLE)!;
});
afterEach(() => {
  role.inline.clear();
  world.aws.inlineBudget = 10_240;
  world.aws.fault = () => {};
});
afterAll(() => world.stop());

const canRead = async ({ secret }: Minted) =>
  (await read(secret, world.aws.url, 'eu/january.csv')) === 'eu,1';
/** A target whose clock is ahead by so much. */
const later = (ms: number) => ({ runtime: { ...systemRuntime, now: () => Date.now() + ms } });

async function mintOne(terms: Terms = termsOf()) {
  return { terms, minted: await world.openDenying().mint(onlyUnder('eu'), terms, soon()) };
}

describe('end, denying against a strict fake of AWS', () => {
  test('end: denies the one session, states the propagation, and leaves its twin of the same role alone', async () => {
    const [one, twin] = [await mintOne(), await mintOne()];
    const ended = await world.openDenying().end(endingOf(one.terms, one.minted.handle), soon());
    expect(await canRead(one.minted)).toBe(false);
    expect(await canRead(twin.minted)).toBe(true);
    expect(ended.effectiveAt).toBeGreaterThan(Date.now() + 200_000);
    expect(JSON.stringify(ended.evidence)).toContain('few minutes');
  });

  test('end: the propagation counts from when the denial was written, however long that took', async () => {
    const { terms, minted } = await mintOne();
    let ahead = 0;
    const runtime = { ...systemRuntime, now: () => Date.now() + ahead };
    world.aws.fault = (action, phase) => {
      if (action.endsWith('PutRolePolicy') && phase === 'after') ahead = 25_000;
    };
    const { effectiveAt } = await world
      .openDenying({ propagation_seconds: 300 }, { runtime })
      .end(endingOf(terms, minted.handle), soon());
    expect(effectiveAt).toBeGreaterThanOrEqual(Date.now() + 324_000);
  });

  test('end: finds the session of a mint that never answered, on every role that grants may name', async () => {
    const { terms, minted } = await mintOne();
    await world.openDenying().end(endingOf(terms, null), soon());
    expect(await canRead(minted)).toBe(false);
  });

  test('end: of a mint that never answered no role is left out: where one cannot be denied, it has not ended', async () => {
    const { terms } = await mintOne();
    const closed = `${ROLE}-new`;
    for (const roles of [
      [closed, ROLE],
      [ROLE, closed],
    ])
      await expect(world.openDenying({ roles }).end(endingOf(terms, null), soon())).rejects.toMatchObject({
        code: 'target-forbidden',
        message: expect.stringContaining(closed.split('/')[1]!),
      });
  });

  test('end: without source identity it denies by the name of the session', async () => {
    const terms = termsOf();
    const target = world.open({ without_source_identity: true });
    const minted = await target.mint(onlyUnder('eu'), terms, soon());
    expect(world.aws.sessions.at(-1)?.sourceIdentity).toBeUndefined();
    await world.openDenying().end(endingOf(terms, minted.handle), soon());
    expect(await canRead(minted)).toBe(false);
  });

  test('end: what the settings became since does not change how it ends', async () => {
    const { terms, minted } = await mintOne();
    const elsewhere = world.openDenying({ roles: [`${ROLE}-new`] });
    await elsewhere.end(endingOf(terms, minted.handle), soon());
    expect(await canRead(minted)).toBe(false);
  });

  test('end: a session whose time was up has expired, and nothing is written', async () => {
    const { terms, minted } = await mintOne();
    const target = world.openDenying({}, later(3_600_000));
    expect(await target.end(endingOf(terms, minted.handle), soon())).toMatchObject({
      found: false,
      lapsed: true,
      // By our clock, which may be ahead of the one of AWS: the broker waits until it is certain.
      lapsesAt: terms.expiresAt,
    });
    expect(role.inline.size).toBe(0);
  });

  test('end: replicas that deny at once lose none of the denials', async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => mintOne()));
    const replicas = [world.openDenying(), world.openDenying(), world.openDenying()];
    await Promise.all(
      all.flatMap(({ terms, minted }) =>
        replicas.map((target) => target.end(endingOf(terms, minted.handle), soon())),
      ),
    );
    expect(role.inline.size).toBe(12);
    expect(await Promise.all(all.map(({ minted }) => canRead(minted)))).not.toContain(true);
  });

  test('end: a full role fails visibly, and it ends once there is room', async () => {
    world.aws.inlineBudget = 400;
    const all = await Promise.all([mintOne(), mintOne(), mintOne()]);
    const target = world.openDenying();
    for (const { terms, minted } of all.slice(0, 2)) await target.end(endingOf(terms, minted.handle), soon());
    const [, , third] = all;
    const ending = endingOf(third!.terms, third!.minted.handle);
    expect(await failure(target.end(ending, soon()))).toMatchObject({
      code: 'target-refused',
      vendorCode: 'LimitExceeded',
    });
    expect(await canRead(third!.minted)).toBe(true);
    world.aws.inlineBudget = 10_240;
    await target.end(ending, soon());
    expect(await canRead(third!.minted)).toBe(false);
  });

  test('end: a full role makes room from denials whose sessions have lapsed', async () => {
    const old = await mintOne();
    await world.openDenying({ max_denials: 1 }).end(endingOf(old.terms, old.minted.handle), soon());
    const hours = 3 * 3_600_000;
    const now = Date.now() + hours;
    const fresh = { ...termsOf(), now, expiresAt: now + 600_000 };
    const target = world.openDenying({ max_denials: 1 }, later(hours));
    expect(await target.end(endingOf(fresh, null), soon())).toMatchObject({ found: true });
    expect([...role.inline.keys()]).toEqual([expect.stringContaining(fresh.name)]);
  });

  test('end: where it is allowed, a full role denies all sessions that began before, says so, and leaves later ones alone', async () => {
    const all = await Promise.all([mintOne(), mintOne(), mintOne()]);
    const target = world.openDenying({ max_denials: 2, when_full: 'deny_all_sessions' });
    const evidence: unknown[] = [];
    for (const { terms, minted } of all) {
      const ended = await target.end(endingOf(terms, minted.handle), soon());
      evidence.push(ended.evidence);
      expect(await canRead(minted)).toBe(false);
    }
    expect(JSON.stringify(evidence.at(-1))).toContain('all_sessions_before');
    expect(await Promise.all(all.map(({ minted }) => canRead(minted)))).not.toContain(true);
    expect([...role.inline.keys()]).toEqual([expect.stringMatching(`^${MARK}all-until-`)]);
    world.aws.now = () => Date.now() + 10_000;
    const late = world.open({ denial: { roles: [ROLE] } }, later(10_000));
    const minted = await late.mint(onlyUnder('eu'), { ...termsOf(), now: Date.now() + 10_000 }, soon());
    expect(await canRead(minted)).toBe(true);
    world.aws.now = Date.now;
  });

  test('end: dying between any two calls of a role-wide answer leaves every ended session denied', async () => {
    for (let survives = 0; survives < 8; survives++) {
      role.inline.clear();
      const all = await Promise.all([mintOne(), mintOne(), mintOne()]);
      const target = world.openDenying({ max_denials: 2, when_full: 'deny_all_sessions' });
      for (const { terms, minted } of all.slice(0, 2))
        await target.end(endingOf(terms, minted.handle), soon());
      let left = survives;
      world.aws.fault = (action) => {
        if (action.endsWith('RolePolicy') && left-- <= 0) throw new AwsFault(403, 'AccessDenied', 'died');
      };
      await target.end(endingOf(all[2]!.terms, all[2]!.minted.handle), soon()).catch(() => {});
      world.aws.fault = () => {};
      expect(await Promise.all(all.slice(0, 2).map(({ minted }) => canRead(minted)))).not.toContain(true);
    }
  });

  test('tidy: removes what has lapsed, and neither what has not nor what is not ours', async () => {
    const { terms, minted } = await mintOne();
    await world.openDenying().end(endingOf(terms, minted.handle), soon());
    const theirs = JSON.stringify({ Statement: [] });
    role.inline.set('their-own', theirs).set(`hp_othr_${terms.leaseId}-until-20200101T000000Z`, theirs);
    await world.openDenying().tidy?.(soon());
    expect(role.inline.size).toBe(3);
    await world.openDenying({}, later(3_600_000)).tidy?.(soon());
    expect([...role.inline.keys()].filter((name) => name.startsWith(MARK))).toEqual([]);
    expect(role.inline.size).toBe(2);
  });

  test('end: denials of many days do not pile up on a role', async () => {
    const day = 86_400_000;
    for (let i = 0; i < 20; i++) {
      const now = Date.now() + i * day;
      const terms = { ...termsOf(), now, expiresAt: now + 600_000 };
      await world.openDenying({ max_denials: 3 }, later(i * day)).end(endingOf(terms, null), soon());
      expect(role.inline.size).toBeLessThanOrEqual(3);
    }
  });
});

test('selfTest: names the right to deny, and the policy to paste', async () => {
  world.aws.fault = (action) => {
    if (action === 'PutRolePolicy')
      throw new AwsFault(403, 'AccessDenied', 'not authorized: iam:PutRolePolicy');
  };
  const { ok, remedies } = await world.openDenying().selfTest(soon(), [scope()]);
  expect(ok).toBe(false);
  expect(remedies).toEqual([expect.stringContaining('"iam:PutRolePolicy"')]);
});
