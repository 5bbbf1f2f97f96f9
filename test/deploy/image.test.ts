import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
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

it('Dockerfile, compose.yaml and broker.yaml: a read-only root has a place for the state', () => {
  const state = '/var/lib/hallpass/.hallpass';
  // A volume takes its owner from the folder in the image, and without one is root's alone.
  expect(read('deploy/Dockerfile')).toMatch(new RegExp(`install -d -o node -g node .* ${state}$`, 'm'));
  const { services } = parse(read('deploy/compose.yaml')) as {
    services: { broker: { read_only: boolean; volumes: string[] } };
  };
  expect(services.broker).toMatchObject({
    read_only: true,
    volumes: expect.arrayContaining([`state:${state}`]),
  });
  const deployment = parseAllDocuments(read('deploy/kubernetes/broker.yaml'))
    .map((document) => document.toJS())
    .find(({ kind }) => kind === 'Deployment');
  const { containers, volumes } = deployment.spec.template.spec;
  expect(containers[0]).toMatchObject({
    env: expect.arrayContaining([{ name: 'HALLPASS_STATE_DIRECTORY', value: state }]),
    securityContext: { readOnlyRootFilesystem: true },
    volumeMounts: expect.arrayContaining([{ name: 'state', mountPath: state }]),
  });
  expect(volumes).toContainEqual(expect.objectContaining({ name: 'state', emptyDir: expect.anything() }));
});

it('compose.yaml and broker.yaml: wait as long as a broker takes to stop', () => {
  const { services } = parse(read('deploy/compose.yaml')) as {
    services: { broker: { stop_grace_period: string } };
  };
  const grace = /terminationGracePeriodSeconds: (\d+)/.exec(read('deploy/kubernetes/broker.yaml'))?.[1];
  for (const seconds of [Number.parseInt(services.broker.stop_grace_period, 10), Number(grace)])
    expect(seconds * 1000).toBeGreaterThan(STOP_GRACE_MS);
});
