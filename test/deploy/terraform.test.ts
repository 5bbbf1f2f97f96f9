import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { findProgram } from '../support/moto.ts';

const MODULES = join(import.meta.dirname, '../../deploy/terraform');

// Validating needs the vendor's plugin, hundreds of megabytes from its registry: `terraform init && terraform validate`.
test('terraform: the modules parse, and are written as Terraform writes them', async (ctx) => {
  const program = (await findProgram('terraform')) ?? (await findProgram('tofu'));
  if (program === null) return ctx.skip('needs terraform or tofu');
  const { stdout } = await promisify(execFile)(program, [
    'fmt',
    '-check',
    '-recursive',
    '-diff',
    MODULES,
  ]).catch((error: { stdout: string; stderr: string }) => ({ stdout: error.stdout + error.stderr }));
  expect(stdout).toBe('');
});
