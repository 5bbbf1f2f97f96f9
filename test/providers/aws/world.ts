import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import type { z } from 'zod';
import { provider } from '../../../src/providers/aws/provider.ts';
import { type AwsScope, scopeSchema } from '../../../src/providers/aws/scope.ts';
import { type AwsSettings, settingsSchema } from '../../../src/providers/aws/settings.ts';
import type { EndableTarget, Secret, Target, TargetContext } from '../../../src/providers/provider.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { ACCOUNT, type FakeAws, startFakeAws } from '../../fakes/aws-sts.ts';

export const BUCKET = 'acme-reports';
export const MARK = 'hp_cnf0_';
export const ROLE = `arn:aws:iam::${ACCOUNT}:role/reports`;

export interface AwsWorld {
  readonly aws: FakeAws;
  /** The broker's own settings; `powerless` is a broker that nobody trusts. */
  settings(more?: Partial<z.input<typeof settingsSchema>>, who?: 'broker' | 'powerless'): AwsSettings;
  open(more?: Partial<z.input<typeof settingsSchema>>, context?: Partial<TargetContext>): Target<AwsScope>;
  openDenying(
    denial?: Partial<z.input<typeof settingsSchema>['denial'] & object>,
    context?: Partial<TargetContext>,
  ): EndableTarget<AwsScope>;
  stop(): Promise<void>;
}

/** Reports of two regions in a bucket, a role that reads all of them, and a broker with the least rights to narrow it. */
export async function startAwsWorld(): Promise<AwsWorld> {
  const aws = await startFakeAws();
  aws.objects.set(`${BUCKET}/eu/january.csv`, 'eu,1');
  aws.objects.set(`${BUCKET}/us/january.csv`, 'us,1');
  const broker = aws.addUser('hallpass', {
    Statement: [
      {
        Effect: 'Allow',
        Action: ['sts:AssumeRole', 'sts:TagSession', 'sts:SetSourceIdentity'],
        Resource: ROLE,
      },
      {
        Effect: 'Allow',
        Action: ['iam:ListRolePolicies', 'iam:PutRolePolicy', 'iam:DeleteRolePolicy'],
        Resource: ROLE,
      },
    ],
  });
  const powerless = aws.addUser('nobody', { Statement: [] });
  aws.addRole(
    'reports',
    {
      Effect: 'Allow',
      Principal: { AWS: `arn:aws:iam::${ACCOUNT}:user/hallpass` },
      Action: ['sts:AssumeRole', 'sts:TagSession', 'sts:SetSourceIdentity'],
    },
    {
      Statement: [
        { Effect: 'Allow', Action: 's3:*', Resource: [`arn:aws:s3:::${BUCKET}`, `arn:aws:s3:::${BUCKET}/*`] },
      ],
    },
  );
  const settings: AwsWorld['settings'] = (more = {}, who = 'broker') => {
    const keys = who === 'broker' ? broker : powerless;
    return settingsSchema.parse({
      region: 'eu-central-1',
      credentials: {
        source: 'static',
        access_key_id: keys.accessKeyId,
        secret_access_key: keys.secretAccessKey,
      },
      insecure_endpoints: { sts: aws.url, iam: aws.url, signin: aws.url },
      ...more,
    });
  };
  const opened: Target<AwsScope>[] = [];
  const open: AwsWorld['open'] = (more, context) => {
    const target = provider.open(settings(more), {
      runtime: systemRuntime,
      target: 'aws',
      mark: MARK,
      ...context,
    });
    opened.push(target);
    return target;
  };
  return {
    aws,
    settings,
    open,
    openDenying(denial = {}, context = {}) {
      const target = open({ denial: { roles: [ROLE], ...denial } }, context);
      if (target.ends === 'expiry-only') throw new Error('sessions can be denied here');
      return target;
    },
    async stop() {
      await Promise.all(opened.map((target) => target.close()));
      await aws.close();
    },
  };
}

export function scope(more: Partial<z.input<typeof scopeSchema>> = {}): AwsScope {
  return scopeSchema.parse({ role_arn: ROLE, ...more });
}

/** Reading what lies under one prefix, and nothing else. */
export function onlyUnder(prefix: string): AwsScope {
  return scope({
    session_policy: [
      { Effect: 'Allow', Action: 's3:GetObject', Resource: `arn:aws:s3:::${BUCKET}/${prefix}/*` },
    ],
  });
}

/** An S3 client with the keys of a secret: the SDK's own, which knows nothing of Hallpass. */
export function s3With({ values }: Secret, endpoint: string): S3Client {
  return new S3Client({
    endpoint,
    region: values.region ?? '',
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: {
      accessKeyId: values.access_key_id ?? '',
      secretAccessKey: values.secret_access_key ?? '',
      sessionToken: values.session_token ?? '',
    },
  });
}

/** The text of an object, or the name of the error that came instead. */
export async function read(secret: Secret, endpoint: string, key: string): Promise<string> {
  const s3 = s3With(secret, endpoint);
  try {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
    return (await Body?.transformToString()) ?? '';
  } catch (error) {
    return (error as Error).name;
  } finally {
    s3.destroy();
  }
}

export async function write(secret: Secret, endpoint: string, key: string): Promise<string> {
  const s3 = s3With(secret, endpoint);
  try {
    await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: key, Body: 'x' }));
    return 'written';
  } catch (error) {
    return (error as Error).name;
  } finally {
    s3.destroy();
  }
}
