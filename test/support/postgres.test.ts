import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { availablePostgres, type PostgresVersion, startPostgres } from './postgres.ts';

describe.each<PostgresVersion>(['15', '18'])('startPostgres %s', (version) => {
  test('serves its version by password, survives a crash and a restart, and leaves nothing', async (ctx) => {
    const available = (await availablePostgres())[version];
    if (!available.ok) ctx.skip(available.reason);
    const server = await startPostgres({ version, settings: { log_statement: 'all' } });
    let client = await server.connect();
    const { rows } = await client.query('show server_version_num');
    expect(String(rows[0].server_version_num).startsWith(version)).toBe(true);
    await client.query('create table kept (n int)');
    expect(await server.log()).toContain('create table kept');
    const { port } = server;

    // Terminated or reset, by when its end reaches us.
    const busy = expect(client.query('select count(*) from generate_series(1, 1e12)')).rejects.toThrow();
    await server.kill();
    await busy;
    await expect(server.connect()).rejects.toThrow('ECONNREFUSED');
    await server.restart();
    await server.restart();
    expect(server.port).toBe(port);
    client = await server.connect();
    await client.query('select * from kept');
    await client.end();

    const pid = server.pid!;
    await server.stop();
    await server.stop();
    expect(existsSync(dirname(server.dataDirectory))).toBe(false);
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });
});
