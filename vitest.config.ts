import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Processes, since tests kill processes, open servers and run WebAssembly databases. A process takes file after file:
    // loading our sources anew for each would take as long as the tests.
    pool: 'forks',
    isolate: false,
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
    reporters: ['default', './test/summary-reporter.ts'],
  },
});
