import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take more than twenty seconds. Last of all, one of them would keep one processor busy and leave the others idle. */
const LONG =
  /\/test\/(offline|faults|simulate|cli\/(air-gapped|ends)|broker\/kill-points|providers\/postgres\/(end|conformance))\b/;

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification) => LONG.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Processes, since tests kill processes, open servers and run WebAssembly databases. A process takes file after file:
    // loading our sources anew for each would take as long as the tests.
    pool: 'forks',
    isolate: false,
    // One more than the processors of the smallest machine: much of a test is waiting for another process.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
    reporters: ['default', './test/summary-reporter.ts'],
  },
});
