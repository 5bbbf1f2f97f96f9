import { expect, test } from 'vitest';
import { mayHaveTakenEffect } from '../../../src/errors.ts';
import { providerError } from '../../../src/providers/postgres/errors.ts';
import { scramVerifier } from '../../../src/providers/postgres/scram.ts';
import { newPassword } from './world.ts';

const withCode = (code: string) => Object.assign(new Error('as the target says'), { code });

test.for([
  ['42501', 'target-forbidden', false],
  ['28P01', 'target-forbidden', false],
  ['53300', 'target-throttled', false],
  ['HP001', 'target-refused', false],
  ['42P01', 'target-refused', false],
  ['2BP01', 'target-refused', false],
  ['25006', 'target-refused', false],
  ['57014', 'target-timeout', true],
  ['57P01', 'target-unreachable', true],
  ['08006', 'target-unreachable', true],
  ['XX000', 'target-failed', true],
  ['99999', 'target-failed', true],
  ['ECONNREFUSED', 'target-unreachable', true],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'target-refused', false],
] as const)('providerError: %s', ([code, ours, effect]) => {
  const error = providerError('do it', withCode(code));
  expect(error).toMatchObject({ code: ours, vendorCode: code, message: 'Cannot do it: as the target says' });
  expect(mayHaveTakenEffect(error)).toBe(effect);
});

test('providerError: an error without a code is a broken connection', () => {
  expect(providerError('do it', new Error('Connection terminated unexpectedly')).code).toBe(
    'target-unreachable',
  );
  expect(providerError('do it', 'a string')).toMatchObject({ code: 'target-unreachable' });
});

test('providerError: is not wrapped twice, and keeps neither a verifier nor what PostgreSQL quotes', async () => {
  const verifier = await scramVerifier(newPassword(), Buffer.alloc(16), 1);
  const theirs = Object.assign(withCode('42601'), {
    message: `syntax error at or near "'${verifier}'"`,
    detail: verifier,
    where: verifier,
    internalQuery: verifier,
  });
  const error = providerError('do it', theirs);
  expect(providerError('do more', error)).toBe(error);
  expect(JSON.stringify({ ...error, message: error.message, stack: error.stack })).not.toContain(verifier);
  expect(error.cause).toBeUndefined();
});
