import { renderReference } from '../../src/config/reference.ts';

const BEGIN = '<!-- reference: `npm run reference` writes what stands below -->';
const END = '<!-- end of reference -->';

/** The README with the reference of the configuration's schema between its two marks. */
export function withReference(readme: string): string {
  const begin = readme.indexOf(BEGIN);
  const end = readme.indexOf(END);
  if (begin < 0 || end < begin) throw new Error('README.md has lost the marks of the reference');
  return `${readme.slice(0, begin + BEGIN.length)}\n\n${renderReference().trim()}\n\n${readme.slice(end)}`;
}
