import { readFileSync, writeFileSync } from 'node:fs';
import { withReference } from './reference.ts';

/** `npm run reference`: writes the configuration's reference into the README. */
const readme = new URL('../../README.md', import.meta.url);
writeFileSync(readme, withReference(readFileSync(readme, 'utf8')));
