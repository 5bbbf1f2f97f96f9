import { serve } from '@hono/node-server';
import { Hono } from 'hono';

/** The yardstick: an empty Hono route in a process of its own. */
const app = new Hono();
app.get('/', (c) => c.text('ok'));
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) =>
  process.send?.({ url: `http://127.0.0.1:${port}` }),
);
process.once('SIGTERM', () => process.exit());
process.once('disconnect', () => process.exit());
