import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { STOP_GRACE_MS } from '../../src/serve.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

/** What the image is made of, of all that is here. */
const copied = read('deploy/Dockerfile')
  .split('\n')
  .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
  .flatMap((line) => line.split(/\s+/).slice(1, -1));

it('Dockerfile: all that it copies is there, and not kept from the builder', () => {
  const kept = new Set(
    read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1)),
  );
  expect(copied.length).toBeGreaterThan(8);
  expect(copied.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  expect(copied.filter((path) => !kept.has(path))).toEqual([]);
  expect([...kept].filter((path) => !copied.includes(path))).toEqual([]);
});

it('compose.yaml and broker.yaml: wait as long as a broker takes to stop', () => {
  const { services } = parse(read('deploy/compose.yaml')) as {
    services: { broker: { stop_grace_period: string } };
  };
  const grace = /terminationGracePeriodSeconds: (\d+)/.exec(read('deploy/kubernetes/broker.yaml'))?.[1];
  for (const seconds of [Number.parseInt(services.broker.stop_grace_period, 10), Number(grace)])
    expect(seconds * 1000).toBeGreaterThan(STOP_GRACE_MS);
});
