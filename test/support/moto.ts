import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  CreateAccessKeyCommand,
  CreateRoleCommand,
  CreateUserCommand,
  IAMClient,
  PutRolePolicyCommand,
  PutUserPolicyCommand,
} from '@aws-sdk/client-iam';
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { freePort } from './ports.ts';

export const NEEDS_MOTO = 'needs moto_server (Python: pip install "moto[server]")';
export const MOTO_ACCOUNT = '123456789012';

const START_TIMEOUT_MS = 60_000;

/** moto: an AWS in a process, which checks signatures and the policies of users and roles. */
export interface Moto extends AsyncDisposable {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly url: string;
  /** From now on nothing is allowed that no policy allows. */
  enforce(): Promise<void>;
  addUser(
    name: string,
    statements: readonly object[],
  ): Promise<{ accessKeyId: string; secretAccessKey: string }>;
  /** A role that the user may assume; answers its ARN. */
  addRole(name: string, user: string, statements: readonly object[]): Promise<string>;
  putObjects(bucket: string, objects: Readonly<Record<string, string>>): Promise<void>;
}

/** Where a program is, or null. */
export async function findProgram(name: string): Promise<string | null> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    if (
      folder !== '' &&
      (await access(path, constants.X_OK).then(
        () => true,
        () => false,
      ))
    )
      return path;
  }
  return null;
}

/** Starts moto on a free port; null where it is not installed. */
export async function startMoto(): Promise<Moto | null> {
  const program = await findProgram('moto_server');
  if (program === null) return null;
  const port = await freePort();
  const child = spawn(program, ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (
    !(await fetch(`${url}/moto-api/data.json`).then(
      ({ ok }) => ok,
      () => false,
    ))
  ) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error('moto_server is there, and does not come up');
    }
    await delay(50);
  }
  return { host: '127.0.0.1', port, url, ...administration(url), [Symbol.asyncDispose]: stop };
}

function administration(url: string): Pick<Moto, 'enforce' | 'addUser' | 'addRole' | 'putObjects'> {
  const common = {
    endpoint: url,
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIAROOT', secretAccessKey: 'unchecked until enforcement' },
  };
  const iam = new IAMClient(common);
  const s3 = new S3Client({ ...common, forcePathStyle: true });
  const document = (Statement: readonly object[]) => JSON.stringify({ Version: '2012-10-17', Statement });
  return {
    async enforce() {
      iam.destroy();
      s3.destroy();
      await fetch(`${url}/moto-api/reset-auth`, { method: 'POST', body: '0' });
    },
    async addUser(UserName, statements) {
      await iam.send(new CreateUserCommand({ UserName }));
      const PolicyDocument = document(statements);
      await iam.send(new PutUserPolicyCommand({ UserName, PolicyName: 'rights', PolicyDocument }));
      const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName }));
      return { accessKeyId: AccessKey?.AccessKeyId ?? '', secretAccessKey: AccessKey?.SecretAccessKey ?? '' };
    },
    async addRole(RoleName, user, statements) {
      const Action = ['sts:AssumeRole', 'sts:TagSession', 'sts:SetSourceIdentity'];
      const trust = {
        Effect: 'Allow',
        Principal: { AWS: `arn:aws:iam::${MOTO_ACCOUNT}:user/${user}` },
        Action,
      };
      const made = await iam.send(
        new CreateRoleCommand({ RoleName, AssumeRolePolicyDocument: document([trust]) }),
      );
      const PolicyDocument = document(statements);
      await iam.send(new PutRolePolicyCommand({ RoleName, PolicyName: 'rights', PolicyDocument }));
      return made.Role?.Arn ?? '';
    },
    async putObjects(Bucket, objects) {
      await s3.send(new CreateBucketCommand({ Bucket }));
      for (const [Key, Body] of Object.entries(objects))
        await s3.send(new PutObjectCommand({ Bucket, Key, Body }));
    },
  };
}
