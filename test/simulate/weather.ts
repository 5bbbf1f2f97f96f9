import type { Random } from './random.ts';

/** What becomes of a call on its way there, and of its answer on its way back. */
export type Fate = 'well' | 'slow' | 'lost' | 'broken' | 'refused' | 'throttled';

/** How calls fare, for a while. */
export interface Weather {
  readonly name: string;
  there(random: Random): Fate;
  back(random: Random): Fate;
}

/** Of a hundred calls. */
type Odds = Readonly<Partial<Record<Fate, number>>>;

export const WEATHERS = {
  calm: weather('calm', {}, {}),
  fair: weather(
    'fair',
    { slow: 2, lost: 1, broken: 2, refused: 1, throttled: 1 },
    { slow: 2, lost: 1, broken: 2 },
  ),
  foul: weather(
    'foul',
    { slow: 10, lost: 5, broken: 10, refused: 5, throttled: 5 },
    { slow: 10, lost: 8, broken: 12 },
  ),
  away: weather('away', { lost: 20, broken: 80 }, {}),
  mute: weather('mute', {}, { lost: 50, broken: 50 }),
} as const satisfies Record<string, Weather>;

function weather(name: string, there: Odds, back: Odds): Weather {
  return { name, there: (random) => draw(random, there), back: (random) => draw(random, back) };
}

function draw(random: Random, odds: Odds): Fate {
  let left = random.below(100);
  for (const [fate, share] of Object.entries(odds)) {
    left -= share;
    if (left < 0) return fate as Fate;
  }
  return 'well';
}
