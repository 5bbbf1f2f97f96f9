import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What a receiver does instead of taking a request: a status, no answer at all, or a cut connection after it took it. */
export type ReceiverFault =
  | number
  | 'hang'
  | 'cut'
  | { readonly status: number; readonly retryAfter: string };

/** A real HTTP server on loopback that writes down what it takes, with faults: one for each request, in their order. */
export async function startReceiver(status = 204) {
  const taken: Received[] = [];
  /** All that came, taken or not. */
  const came: Received[] = [];
  const faults: (ReceiverFault | null)[] = [];
  const answer = { status, body: '' };
  let hanging = 0;
  const server: Server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      const received = { path: request.url ?? '', headers: request.headers, body };
      came.push(received);
      const fault = faults.shift() ?? null;
      if (fault === 'hang') {
        hanging++;
        return void response.once('close', () => hanging--);
      }
      if (fault === 'cut') {
        taken.push(received);
        return void request.socket.destroy();
      }
      if (typeof fault === 'number') return void response.writeHead(fault, { location: '/other' }).end();
      if (fault !== null)
        return void response.writeHead(fault.status, { 'retry-after': fault.retryAfter }).end();
      taken.push(received);
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    taken,
    came,
    faults,
    answer,
    /** How many requests get no answer just now. */
    hanging: () => hanging,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
