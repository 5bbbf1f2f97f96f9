import { timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { AttestorKind, Principal } from '../identity/attestor.ts';
import { sha256 } from '../json.ts';
import { ok } from '../result.ts';
import { codeUse, KIT_ISSUER } from './contents.ts';
import type { KitHeader } from './envelope.ts';

/** One opening of a kit: who brought which codes, and the token by which the command of it is known. */
export interface Opening {
  readonly header: KitHeader;
  /** The numbers of the codes, from 0. */
  readonly codes: readonly number[];
  /** Never leaves the process. */
  readonly token: string;
}

const settings = z.strictObject({ type: z.literal(KIT_ISSUER) });
type Written = z.output<typeof settings>;

/** Kept for longer than any kit is good. */
const KEEP_MS = 2 * 366 * 86_400_000;

/**
 * The issuer of a kit's own broker. It knows one principal: whoever opens the kit, by the codes that he brought. All
 * of these are used up by the commit that opens his task, or none is. Null: it knows nobody, and only ends what was.
 */
export function kitIssuerKind(opening: Opening | null): AttestorKind {
  const kind: AttestorKind<Written, Written> = {
    type: KIT_ISSUER,
    settings,
    fileSettings: [],
    resolve: (written) => ok(written),
    describe: () => ({ names: [KIT_ISSUER] }),
    create: (name) => ({
      issuer: name,
      async attest(evidence) {
        if (opening === null || evidence.kind !== 'bearer' || !isSame(evidence.token, opening.token))
          return null;
        return ok(principalOf(name, opening));
      },
    }),
  };
  return kind as AttestorKind;
}

function principalOf(issuer: string, { header, codes, token }: Opening): Principal {
  const holders = codes.map((code) => header.codes[code]?.holder ?? '?');
  return {
    issuer,
    subject: header.id,
    claims: { sub: header.id, codes: codes.join(','), holders: holders.join(', ') },
    proof: {
      method: 'kit-codes',
      evidenceHash: sha256(token),
      expiresAt: header.expiresAt,
      exceptionEndsAt: header.expiresAt,
      singleUses: codes.map((code) => ({ id: codeUse(header.id, code), until: header.expiresAt + KEEP_MS })),
    },
  };
}

function isSame(a: string, b: string): boolean {
  const [x, y] = [sha256(a), sha256(b)];
  return timingSafeEqual(Buffer.from(x), Buffer.from(y));
}
