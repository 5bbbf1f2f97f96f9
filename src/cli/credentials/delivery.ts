import type { Secret } from '../../http/contract.ts';

/** How one credential reaches a program that knows nothing of Hallpass. */
export interface Delivery {
  readonly env: Readonly<Record<string, string>>;
  /** Contents by path; the paths are those that `place` gave. */
  readonly files: Readonly<Record<string, string>>;
  /** Variables that would win over `env` if the environment held them. */
  readonly overriding: readonly string[];
  /** Variables from which programs take another credential without asking. */
  readonly suspicious: readonly string[];
}

/** Maps a secret of one type. `place` names a file of this credential, by its ending, in a folder that only we can read. */
export type Deliver = (secret: Secret, place: (ending: string) => string) => Delivery;
