import type { Principal } from '../attestor.ts';
import type { RegisteredClaims } from './claims.ts';

/** What verifying a token gave, all of it frozen. Its times are checked anew at each use. */
export interface VerifiedToken {
  readonly principal: Principal;
  readonly times: RegisteredClaims;
}

/**
 * The tokens verified last, by their SHA-256, at most `capacity` of them. They hold for one generation of keys only:
 * a look with another generation empties it, so a withdrawn key takes its tokens with it.
 */
export interface VerifiedTokens {
  /** Whether the token was verified with some generation, be it one that is past. */
  has(hash: string): boolean;
  get(hash: string, generation: number): VerifiedToken | undefined;
  put(hash: string, generation: number, token: VerifiedToken): void;
  drop(hash: string): void;
}

export function createVerifiedTokens(capacity: number): VerifiedTokens {
  /** In the order of their last use. */
  const tokens = new Map<string, VerifiedToken>();
  let current = 0;

  function follow(generation: number): void {
    if (generation === current) return;
    tokens.clear();
    current = generation;
  }

  return {
    has: (hash) => tokens.has(hash),
    get(hash, generation) {
      follow(generation);
      const token = tokens.get(hash);
      if (token) {
        tokens.delete(hash);
        tokens.set(hash, token);
      }
      return token;
    },
    put(hash, generation, token) {
      if (generation < current) return;
      follow(generation);
      tokens.set(hash, token);
      if (tokens.size <= capacity) return;
      for (const oldest of tokens.keys()) {
        tokens.delete(oldest);
        break;
      }
    },
    drop: (hash) => {
      tokens.delete(hash);
    },
  };
}
