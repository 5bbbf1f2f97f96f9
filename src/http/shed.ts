/** Below this nobody is sent away; from the second on, everybody who would begin something. Milliseconds for one statement. */
const CALM_MS = 300;
const OVERRUN_MS = 1_000;

/**
 * Whether to send away one who would begin something, by how long the store takes for a statement, waiting for its turn
 * included. Statements of all requests wait in one line, so this is what also those feel who only want to end
 * something. In between the two bounds a growing share is sent away, evenly spread: all or nobody would swing.
 */
export function createShedder(statementMs: () => number): () => boolean {
  let share = 0;
  return () => {
    const excess = (statementMs() - CALM_MS) / (OVERRUN_MS - CALM_MS);
    share = Math.max(0, share + Math.min(excess, 1));
    if (excess <= 0 || share < 1) return false;
    share -= 1;
    return true;
  };
}
