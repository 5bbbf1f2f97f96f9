import { expect, test } from 'vitest';
import { ENVIRONMENT } from '../../src/config/environment.ts';
import { configJsonSchema, renderReference } from '../../src/config/reference.ts';
import { configSchema } from '../../src/config/schema.ts';

test('renderReference: has every section, and says of every key what it means', () => {
  const reference = renderReference();
  for (const section of Object.keys(configSchema.shape)) expect(reference).toContain(`### \`${section}\``);
  for (const variable of Object.keys(ENVIRONMENT)) expect(reference).toContain(`| \`${variable}\` |`);
  const rows = reference.split('\n').filter((line) => line.startsWith('| `'));
  expect(rows.length).toBeGreaterThan(50);
  expect(rows.filter((row) => row.endsWith('|  |'))).toEqual([]);
});

test('renderReference: types and defaults', () => {
  const reference = renderReference();
  expect(reference).toMatch(/\| `broker\.listen` \| host:port \| `127\.0\.0\.1:7420` \|/);
  expect(reference).toMatch(/\| `broker\.url` \| URL \| required \|/);
  expect(reference).toMatch(/\| `database\.url` \| postgres URL, by `_file` or `_env` \| required \|/);
  expect(reference).toMatch(/\| `grants\.<name>\.credentials\.<name>\.ttl\.max` \| duration \| required \|/);
  expect(reference).toMatch(/\| `access\[\]\.role` \| `operator`, `auditor`, `orchestrator` \| required \|/);
});

test('renderReference: durations are written as they must be, and no table is empty', () => {
  const reference = renderReference();
  const durations = reference.split('\n').filter((line) => line.includes(' | duration | `'));
  expect(durations.length).toBeGreaterThan(3);
  expect(durations.filter((line) => !/ \| duration \| `\d+[smhd]` \| /.test(line))).toEqual([]);
  expect(reference).not.toMatch(/\| --- \|\n\n/);
});

test('configJsonSchema: is one, without our own words', () => {
  const text = JSON.stringify(configJsonSchema());
  expect(text).toContain('"$schema"');
  expect(text).toContain('task_grants');
  expect(text).not.toMatch(/typeName|"secret"/);
});
