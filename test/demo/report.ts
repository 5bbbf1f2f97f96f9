/** One thing that the story claims, and whether it is so. */
export interface Fact {
  readonly chapter: string;
  readonly claim: string;
  readonly ok: boolean;
  readonly seen: string;
  /** Milliseconds from the start of its chapter. */
  readonly afterMs: number;
}

/** Collects the facts of the story, and tells them on a terminal as they come. */
export interface Reporter {
  readonly facts: readonly Fact[];
  /** Begins a chapter; what is claimed next belongs to it, unless it names another. */
  chapter(title: string): Chapter;
}

export interface Chapter {
  /** States what must be so. The story goes on when it is not, and the demo then fails. */
  claim(claim: string, ok: boolean, seen?: string): void;
}

export function createReporter(print: (text: string) => void): Reporter {
  const facts: Fact[] = [];
  let telling = '';
  return {
    facts,
    chapter(title) {
      const startedAt = performance.now();
      return {
        claim(claim, ok, seen = '') {
          // Chapters may run side by side: each claim stands under its own title.
          if (telling !== title) print(`\n${title}`);
          telling = title;
          const afterMs = Math.round(performance.now() - startedAt);
          facts.push({ chapter: title, claim, ok, seen, afterMs });
          print(
            `  ${ok ? 'ok  ' : 'FAIL'} ${claim}${seen && ` (${seen})`}  ${(afterMs / 1000).toFixed(2)} s`,
          );
        },
      };
    },
  };
}

export interface DemoOptions {
  readonly json: boolean;
}

/** The last words of a demo, and with `--json` all that it found; answers the exit code. */
export async function conclude(
  { facts }: Reporter,
  startedAt: number,
  { json }: DemoOptions,
  print: (text: string) => void,
  found: () => Promise<Readonly<Record<string, unknown>>> = async () => ({}),
): Promise<number> {
  const failed = facts.filter((fact) => !fact.ok);
  const held = facts.length - failed.length;
  const ok = failed.length === 0;
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  if (json) process.stdout.write(`${JSON.stringify({ ok, seconds, facts, ...(await found()) }, null, 2)}\n`);
  print(`\n${held} of ${facts.length} claims held, in ${seconds} s.`);
  for (const { chapter, claim, seen } of failed) print(`  FAIL ${chapter}: ${claim}${seen && ` (${seen})`}`);
  return ok ? 0 : 1;
}
