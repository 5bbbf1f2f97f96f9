import { MAX_GLOB_LENGTH, MAX_MATCHED_LENGTH } from './limits.ts';

/**
 * Globs over strings in segments that `/` and `:` separate, as in `repo:acme/api:ref:refs/heads/main`:
 *
 * - `*`  any characters within a segment, also none
 * - `**` any characters, across segments
 * - `?`  one character within a segment
 *
 * Everything else stands for itself; nothing is decoded (`%3A` is no `:`), normalised or folded. A glob matches the
 * whole value or not at all. `:` separates because subjects are lists of fields: a `*` that crossed it would let a
 * value in one field stand for the next.
 */
export interface Glob {
  readonly text: string;
  /** The characters before the first wildcard. */
  readonly prefix: string;
  /** Whether it consists of wildcards and separators alone. */
  readonly bare: boolean;
  matches(value: string): boolean;
}

type Token = 'one' | 'segment' | 'all' | { readonly literal: string };

/** The glob, or why the text is none. */
export function parseGlob(text: string): Glob | string {
  if (text === '') return 'Cannot use an empty glob: write what it must match';
  if (text.length > MAX_GLOB_LENGTH) return `Cannot use a glob of more than ${MAX_GLOB_LENGTH} characters`;
  if (text.includes('***'))
    return 'Cannot use "***" in a glob: write "*" within a segment or "**" across segments';
  const tokens = tokensOf(text);
  const wild = text.search(/[*?]/);
  const prefix = wild === -1 ? text : text.slice(0, wild);
  return {
    text,
    prefix,
    bare: /^[*?/:]*$/.test(text),
    matches: (value) =>
      value.length <= MAX_MATCHED_LENGTH && value.startsWith(prefix) && simulate(tokens, value),
  };
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  for (const part of text.match(/\*\*|\*|\?|[^*?]/gu) ?? []) {
    if (part === '**') tokens.push('all');
    else if (part === '*') tokens.push('segment');
    else if (part === '?') tokens.push('one');
    else tokens.push({ literal: part });
  }
  return tokens;
}

/**
 * Follows all ways through the pattern at once, so the work is at most tokens times characters and no input can make
 * it backtrack. `live[i]` says that the characters read so far can be matched by the first `i` tokens.
 */
function simulate(tokens: readonly Token[], value: string): boolean {
  let live = new Uint8Array(tokens.length + 1);
  let next = new Uint8Array(tokens.length + 1);
  live[0] = 1;
  skipStars(tokens, live);
  for (const character of value) {
    next.fill(0);
    let any = false;
    const separates = character === '/' || character === ':';
    for (const [i, token] of tokens.entries()) {
      if (live[i] === 0) continue;
      const stays = token === 'all' || (token === 'segment' && !separates);
      const moves = token === 'one' ? !separates : typeof token === 'object' && token.literal === character;
      if (stays) next[i] = 1;
      if (moves) next[i + 1] = 1;
      any ||= stays || moves;
    }
    if (!any) return false;
    skipStars(tokens, next);
    [live, next] = [next, live];
  }
  return live[tokens.length] === 1;
}

/** A star may match nothing. */
function skipStars(tokens: readonly Token[], live: Uint8Array): void {
  for (const [i, token] of tokens.entries()) {
    if (live[i] === 1 && (token === 'all' || token === 'segment')) live[i + 1] = 1;
  }
}
