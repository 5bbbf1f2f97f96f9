import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Deployment } from 'kubernetes-models/apps/v1';
import { Job } from 'kubernetes-models/batch/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { ClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1';
import { Namespace, Service, ServiceAccount } from 'kubernetes-models/v1';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { deliveryWorld } from '../cli/support/delivery.ts';

const FOLDER = fileURLToPath(new URL('../../deploy/kubernetes/', import.meta.url));
const KINDS = {
  ClusterRoleBinding,
  Deployment,
  Job,
  Namespace,
  PodDisruptionBudget,
  Service,
  ServiceAccount,
};

interface Container {
  readonly name: string;
  readonly restartPolicy?: string;
  readonly command?: string[];
  readonly args?: string[];
  readonly startupProbe?: { exec: { command: string[] } };
  readonly volumeMounts: { name: string; readOnly?: boolean }[];
  readonly securityContext: { allowPrivilegeEscalation?: boolean };
}
interface Manifest {
  readonly kind: keyof typeof KINDS;
  readonly spec?: {
    template: {
      spec: { initContainers: Container[]; containers: Container[]; volumes: Record<string, unknown>[] };
    };
  };
}

const manifestsOf = (file: string) =>
  parseAllDocuments(readFileSync(join(FOLDER, file), 'utf8')).map((document) => document.toJS() as Manifest);
const files = readdirSync(FOLDER).filter((name) => name !== 'grant.yaml');

it.each(files)('%s: each manifest is what the schema of Kubernetes says', (file) => {
  for (const manifest of manifestsOf(file)) {
    const kind = KINDS[manifest.kind];
    expect(kind, manifest.kind).toBeDefined();
    new kind(manifest as never).validate();
  }
});

it('validate: finds a member of a wrong type, so that the test above can fail', () => {
  const [job] = manifestsOf('job.yaml');
  const wrong = JSON.parse(JSON.stringify(job).replace('"backoffLimit":2', '"backoffLimit":"two"'));
  expect(() => new Job(wrong).validate()).toThrow();
});

describe.each(['job.yaml', 'deployment.yaml'])('%s', (file) => {
  const spec = manifestsOf(file)[0]!.spec!.template.spec;
  const [sidecar] = spec.initContainers;
  const [main] = spec.containers;

  it('keeps credentials in memory, and identity from the main container', () => {
    const volume = (name: string) => spec.volumes.find((one) => one.name === name);
    expect(volume('credentials')).toMatchObject({ emptyDir: { medium: 'Memory' } });
    expect(volume('identity')).toMatchObject({ projected: { sources: [{ serviceAccountToken: {} }] } });
    expect(main!.volumeMounts.map(({ name, readOnly }) => `${name} ${readOnly}`)).toEqual([
      'credentials true',
    ]);
    expect(sidecar!.restartPolicy).toBe('Always');
    expect(sidecar!.startupProbe).toBeDefined();
  });
});

it('job.yaml, played on this machine: sidecar, probe, main container, stop: the task ends with the job', async () => {
  await using world = await deliveryWorld();
  const { initContainers, containers } = manifestsOf('job.yaml')[0]!.spec!.template.spec;
  const volume = join(world.home, 'volume');
  mkdirSync(volume, { mode: 0o777 });
  const identity = join(world.home, 'identity');
  writeFileSync(identity, world.env.HALLPASS_TOKEN!);
  const here = (text: string) => text.replaceAll('/run/hallpass', volume).replace('7421', '0');
  // The fake broker has one grant; all else is as the manifest says.
  const args = initContainers[0]!
    .args!.map(here)
    .map((arg, at, all) => (all[at - 1] === '--grant' ? 'reports' : arg));
  const port = args.indexOf('--port');
  args.splice(port, 2);
  const sidecar = world.hallpass(args, { HALLPASS_TOKEN: '', HALLPASS_TOKEN_FILE: identity });
  const [probe = '', ...probeArgs] = initContainers[0]!.startupProbe!.exec.command.map(here);
  while ((await world.start(probe, probeArgs).ended).code !== 0) {
    if (sidecar.child.exitCode !== null) throw new Error(sidecar.err());
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const [shell = '', ...shellArgs] = containers[0]!
    .command!.map(here)
    .map((arg) => arg.replace(/exec psql.*/, 'test -s "$PGPASSFILE" && echo "$PGUSER"'));
  const main = await world.start(shell, shellArgs).ended;
  const lease = [...world.verbs.leases.values()][0]!;
  expect([main.code, main.out.trim()]).toEqual([0, lease.name]);
  expect(lease.state).toBe('active');
  sidecar.child.kill('SIGTERM');
  expect((await sidecar.ended).code).toBe(0);
  expect([...world.verbs.leases.values()].map(({ state, outcome }) => `${state} ${outcome}`)).toEqual([
    'ended revoked',
  ]);
  expect(readdirSync(join(volume, 'agent'))).toEqual([]);
});
