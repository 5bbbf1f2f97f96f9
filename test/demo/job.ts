import pg from 'pg';

/**
 * The batch job of the demo: an ordinary program that knows Postgres' environment variables and nothing of Hallpass.
 * It prints the total of the sales, what it hears when it asks for the payroll, and then, with `wait`, stays
 * connected until somebody cuts it off.
 */
const client = new pg.Client();
client.on('error', () => process.exit(3));
await client.connect();
const { rows } = await client.query<{ user: string; total: string }>(
  'select current_user as user, sum(amount) as total from sales',
);
const payroll = await client.query('select * from payroll').then(
  () => 'read',
  (error: { code?: string }) => error.code ?? 'failed',
);
process.stdout.write(`${JSON.stringify({ ...rows[0], payroll })}\n`);
if (process.argv.includes('wait')) {
  setInterval(() => client.query('select 1').catch(() => process.exit(3)), 200);
} else {
  await client.end();
}
