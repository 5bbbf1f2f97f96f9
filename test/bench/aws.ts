import { ListRolePoliciesCommand, PutRolePolicyCommand } from '@aws-sdk/client-iam';
import { AssumeRoleCommand } from '@aws-sdk/client-sts';
import { createClients } from '../../src/providers/aws/clients.ts';
import { denialName, sessionDenial } from '../../src/providers/aws/denial.ts';
import { sessionPolicy } from '../../src/providers/aws/policy.ts';
import type { Ending, Terms } from '../../src/providers/provider.ts';
import { newId, systemRuntime } from '../../src/runtime.ts';
import { MARK, onlyUnder, ROLE, startAwsWorld } from '../providers/aws/world.ts';

const TTL_MS = 600_000;

/** What the broker's provider costs beside the bare SDK calls that it makes. */
export interface AwsBench {
  readonly what: string;
  readonly bareMicros: number;
  readonly ourMicros: number;
  /** Ours over theirs; 1 costs nothing. */
  readonly ratio: number;
}

/**
 * Mints and ends by the provider and by bare SDK calls of the same content, in turns, against the strict fake of AWS
 * in this process. Medians: the fake answers in fractions of a millisecond, so what is left over is ours.
 */
export async function benchAws(rounds: number): Promise<AwsBench[]> {
  const world = await startAwsWorld();
  world.aws.inlineBudget = Number.MAX_SAFE_INTEGER;
  const settings = {
    ...world.settings(),
    denial: { roles: [ROLE], max_denials: 1_000_000, propagation_seconds: 300, when_full: 'fail' as const },
  };
  const context = { runtime: systemRuntime, target: 'bench', mark: MARK };
  const bare = createClients(settings, context);
  const target = world.openDenying({});
  const scope = onlyUnder('eu');
  const Policy = sessionPolicy(scope, Date.now() + TTL_MS);
  const role = world.aws.roles.get(ROLE);
  const minting = await inTurns(
    rounds,
    async () => {
      const { name, context: about } = termsOf();
      await bare.sts.send(
        new AssumeRoleCommand({
          RoleArn: ROLE,
          RoleSessionName: name,
          SourceIdentity: name,
          DurationSeconds: 900,
          Policy,
          Tags: [
            { Key: 'hallpass:task', Value: about.task },
            { Key: 'hallpass:grant', Value: about.grant },
            { Key: 'hallpass:subject', Value: about.subject },
          ],
        }),
      );
    },
    async () => void (await target.mint(scope, termsOf(), soon())),
  );
  const ending = await inTurns(
    rounds,
    async () => {
      role?.inline.clear();
      const { name, expiresAt } = termsOf();
      await bare.iam.send(new ListRolePoliciesCommand({ RoleName: 'reports' }));
      await bare.iam.send(
        new PutRolePolicyCommand({
          RoleName: 'reports',
          PolicyName: denialName(name, expiresAt),
          PolicyDocument: sessionDenial({ session: name, deny_by: 'source-identity' }),
        }),
      );
    },
    async () => {
      role?.inline.clear();
      await target.end(endingOf(termsOf()), soon());
    },
  );
  bare.close();
  await world.stop();
  return [
    { what: 'AWS mint (AssumeRole)', ...minting },
    { what: 'AWS end (ListRolePolicies, PutRolePolicy)', ...ending },
  ];
}

/** One after the other, so that whatever else the machine does meets both. The first tenth only warms up. */
async function inTurns(rounds: number, bare: () => Promise<void>, ours: () => Promise<void>) {
  const times: { bare: number[]; ours: number[] } = { bare: [], ours: [] };
  for (let round = 0; round < rounds * 1.1; round++) {
    const pair = { bare: await timed(bare), ours: await timed(ours) };
    if (round < rounds * 0.1) continue;
    times.bare.push(pair.bare);
    times.ours.push(pair.ours);
  }
  const [bareMicros, ourMicros] = [median(times.bare), median(times.ours)];
  return { bareMicros, ourMicros, ratio: Math.round((ourMicros / bareMicros) * 1000) / 1000 };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - startedAt) / 1000;
}

function median(values: number[]): number {
  return Math.round(values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN);
}

function termsOf(): Terms {
  const leaseId = newId(systemRuntime);
  const now = Date.now();
  const context = {
    issuer: 'i',
    subject: 'batch',
    grant: 'nightly',
    task: 'orders',
    taskId: 't',
    purpose: null,
  };
  return {
    leaseId,
    name: `${MARK}${leaseId}`,
    now,
    mintBefore: now + 20_000,
    expiresAt: now + TTL_MS,
    context,
  };
}

function endingOf({ leaseId, name, expiresAt }: Terms): Ending {
  return { leaseId, name, handle: null, expiresAt };
}

function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}
