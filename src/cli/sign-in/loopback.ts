import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { UsageError } from '../failure.ts';

/** Where the browser brings the answer of an identity provider (RFC 8252, section 7.3). */
export interface Loopback {
  readonly redirectUri: string;
  /** The parameters of the first request that comes; rejects when the signal aborts. */
  answer(signal: AbortSignal): Promise<URLSearchParams>;
  /** Tells the browser what became of it, and closes. */
  finish(done: boolean): Promise<void>;
}

const PATH = '/callback';

/** Listens on loopback alone, by its number: a name could lead elsewhere. Port 0 takes any that is free. */
export async function listenOnLoopback(port: number): Promise<Loopback> {
  const server = createServer();
  await listen(server, port);
  const redirectUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}${PATH}`;
  let tell: ((done: boolean) => void) | null = null;
  const arrived = new Promise<URLSearchParams>((resolve) => {
    server.on('request', (request, response) => {
      const url = new URL(request.url ?? '/', redirectUri);
      response.setHeader('connection', 'close');
      if (request.method !== 'GET' || url.pathname !== PATH || tell !== null)
        return void response.writeHead(404).end();
      tell = (done) => {
        response.writeHead(done ? 200 : 400, HEADERS).end(done ? DONE : FAILED);
      };
      resolve(url.searchParams);
    });
  });
  return {
    redirectUri,
    answer: (signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
        arrived.then(resolve);
      }),
    async finish(done) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      tell?.(done);
      // A browser keeps connections for what may come: nothing does.
      server.closeIdleConnections();
      setTimeout(() => server.closeAllConnections(), 1_000).unref();
      await closed;
    },
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'it is in use' : (error.code ?? error.message);
      reject(new UsageError(`Cannot listen on 127.0.0.1:${port}: ${why}; give another --port, or --device`));
    });
    server.listen(port, '127.0.0.1', () => resolve());
  });
}

const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
};

const page = (title: string, text: string) =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><h1>${title}</h1><p>${text}</p></html>\n`;
const DONE = page('You are signed in', 'Close this page and go back to the terminal.');
const FAILED = page('You are not signed in', 'The terminal says why. Start again there.');
