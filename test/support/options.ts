import { type ParseArgsConfig, parseArgs } from 'node:util';

/** The options of a script. One that there is not, or a word too many, is told in a line, and the script exits with 2. */
export function readOptions<const Options extends NonNullable<ParseArgsConfig['options']>>(options: Options) {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    const known = Object.keys(options).map((name) => `--${name}`);
    process.stderr.write(
      `${error instanceof Error ? error.message : error}\nThere are ${known.join(', ')}\n`,
    );
    process.exit(2);
  }
}
