import { runProgram } from '../../../src/cli/program.ts';
import { fakeBorder } from '../../fakes/border.ts';
import { seal } from '../../fakes/seal.ts';
import { fakeIo } from './io.ts';

export const URL_OF_BROKER = 'http://127.0.0.1:1';

/** The command line in this process, against the real app over the broker in memory. */
export function commandLine(
  options: {
    border?: Parameters<typeof fakeBorder>[0];
    env?: Record<string, string>;
    network?: (pass: typeof fetch) => typeof fetch;
  } = {},
) {
  const border = fakeBorder({ seal, ...options.border });
  const token = border.verbs.admit('job');
  const pass: typeof fetch = async (input, init) => border.app.request(new Request(input as URL, init));
  const terminal = fakeIo(
    { HALLPASS_URL: URL_OF_BROKER, HALLPASS_TOKEN: token, ...options.env },
    {
      fetch: options.network?.(pass) ?? pass,
      // Waits are short, but they are waits: whoever aborts them is heard.
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          const timer = setTimeout(resolve, Math.min(ms, 20));
          signal?.addEventListener('abort', () => {
            clearTimeout(timer);
            reject(signal.reason);
          });
        }),
    },
  );
  const run = (...args: string[]) =>
    runProgram(args, {
      io: terminal.io,
      version: '1.2.3',
      serve: async ({ config }) => {
        terminal.io.out(`serve ${config}\n`);
        return 0;
      },
      check: async ({ config, json, live }) => {
        terminal.io.out(`check ${config} ${json} ${live}\n`);
        return 9;
      },
    });
  return { ...border, ...terminal, run, token };
}
