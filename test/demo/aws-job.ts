import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';

/**
 * The CI job of the AWS demo: an ordinary program that knows the SDK's environment variables and nothing of Hallpass.
 * It prints what it reads under its prefix, and what it hears when it asks for more.
 */
const Bucket = 'acme-reports';
const s3 = new S3Client({ forcePathStyle: true, maxAttempts: 1 });
const named = (error: { name?: string }) => error.name ?? 'failed';
const read = (Key: string) =>
  s3.send(new GetObjectCommand({ Bucket, Key })).then(async ({ Body }) => Body?.transformToString(), named);
const said = {
  own: await read('eu/january.csv'),
  other: await read('us/january.csv'),
  write: await s3.send(new PutObjectCommand({ Bucket, Key: 'eu/x', Body: 'x' })).then(() => 'written', named),
};
process.stdout.write(`${JSON.stringify(said)}\n`);
