import { keepRunning } from './keep.ts';
import { buildWorld } from './world.ts';

/** `npm run dev`: the demo's world without its story, to try by hand. */
const print = (text: string) => void process.stdout.write(`${text}\n`);
await develop();
process.exit();

async function develop(): Promise<void> {
  await using world = await buildWorld();
  const broker = await world.startBroker();
  await keepRunning(world, print);
  await broker.stop();
}
