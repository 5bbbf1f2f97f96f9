import { expect, test } from 'vitest';
import { scramVerifier } from '../../../src/providers/postgres/scram.ts';

test('scramVerifier: gives the keys of the example in RFC 7677 section 3', async () => {
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
  // The stored and server keys that prove the example's messages, derived with an implementation that is not ours.
  expect(await scramVerifier('pencil', salt, 4096)).toBe(
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$' +
      'WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  );
});

test('scramVerifier: is another for another salt, and says its iterations', async () => {
  const one = await scramVerifier('a', Buffer.alloc(16, 1), 1);
  expect(one).toMatch(/^SCRAM-SHA-256\$1:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$/);
  expect(await scramVerifier('a', Buffer.alloc(16, 2), 1)).not.toBe(one);
});
