import type { Reporter, TestCase, TestModule, TestSuite, Vitest } from 'vitest/node';

/**
 * Says at the end of a run which tests were skipped and why, and then, alone on the last line of the output,
 * `N passed, N failed, N skipped`. What kept tests from running counts as a failure: a file that cannot be loaded, a
 * hook that throws, an error that nobody caught, a test that never finished, a run without a single test.
 */
export default class SummaryReporter implements Reporter {
  #watching = false;
  #summary: Summary | null = null;

  onInit(vitest: Vitest): void {
    this.#watching = vitest.config.watch;
    // Vitest may still have something to say when the run is over; the exit is the only moment after which it cannot.
    if (!this.#watching) process.once('exit', (code) => this.#print(code));
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    this.#summary = summarize(modules, unhandledErrors.length);
    if (this.#watching) this.#print(0);
  }

  #print(exitCode: number): void {
    const { passed, failed, skipped, reasons } = this.#summary ?? NOTHING_RAN;
    const failures = failed === 0 && (exitCode !== 0 || passed + skipped === 0) ? 1 : failed;
    const lines = [...describe(reasons), `${passed} passed, ${failures} failed, ${skipped} skipped`];
    process.stdout.write(`\n${lines.join('\n')}\n`);
  }
}

interface Summary {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** The skipped tests by the reason for it. */
  readonly reasons: ReadonlyMap<string, readonly TestCase[]>;
}

const NOTHING_RAN: Summary = { passed: 0, failed: 0, skipped: 0, reasons: new Map() };

function summarize(modules: readonly TestModule[], unhandledErrors: number): Summary {
  let passed = 0;
  let failed = unhandledErrors;
  const reasons = new Map<string, TestCase[]>();
  for (const module of modules) {
    failed += module.errors().length;
    for (const suite of module.children.allSuites()) failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const result = test.result();
      if (result.state === 'passed') passed++;
      else if (result.state === 'skipped') {
        const reason = result.note ?? reasonWithoutNote(test);
        reasons.set(reason, [...(reasons.get(reason) ?? []), test]);
      } else failed++;
    }
  }
  const skipped = [...reasons.values()].reduce((sum, tests) => sum + tests.length, 0);
  return { passed, failed, skipped, reasons };
}

function reasonWithoutNote(test: TestCase): string {
  if (test.options.mode === 'todo') return 'still to be written (todo)';
  for (let parent: TestSuite | TestModule = test.parent; ; parent = parent.parent) {
    if (parent.errors().length > 0) return 'a hook before it failed';
    if (parent.type === 'module') break;
  }
  return test.options.mode === 'skip' ? 'no reason given' : 'not selected in this run';
}

function describe(reasons: Summary['reasons']): string[] {
  if (reasons.size === 0) return [];
  const groups = [...reasons].sort(([, a], [, b]) => b.length - a.length);
  return ['Skipped, and why:', ...groups.flatMap(([reason, tests]) => describeGroup(reason, tests)), ''];
}

function describeGroup(reason: string, tests: readonly TestCase[]): string[] {
  const files = new Map<string, number>();
  for (const { module } of tests)
    files.set(module.relativeModuleId, (files.get(module.relativeModuleId) ?? 0) + 1);
  return [
    `  ${reason}: ${count(tests.length)}`,
    ...[...files].map(([file, skipped]) => `    ${file}: ${count(skipped)}`),
  ];
}

function count(tests: number): string {
  return tests === 1 ? '1 test' : `${tests} tests`;
}
