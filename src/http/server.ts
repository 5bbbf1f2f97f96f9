import { constants } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener, type HttpBindings } from '@hono/node-server';
import type { Runtime } from '../runtime.ts';
import type { ServerLimits } from './limits.ts';
import { PROBLEMS } from './wire.ts';

export interface ServeOptions {
  readonly app: { fetch(request: Request, env: HttpBindings): Response | Promise<Response> };
  readonly listen: { readonly host: string; readonly port: number };
  /** PEM. Absent: plain HTTP, for loopback or behind something that ends TLS. */
  readonly tls?: {
    readonly cert: string;
    readonly key: string;
    /** Ask clients for certificates. Whose they are is for the attestors to say: none is refused here. */
    readonly clientCertificates?: boolean;
  };
  readonly limits: ServerLimits;
  readonly runtime: Runtime;
}

export interface RunningServer {
  readonly address: { readonly host: string; readonly port: number; readonly url: string };
  /**
   * Takes no new connection, closes those that are idle, and lets what is being served finish: also a request whose
   * client has gone. Past `graceMs` the connections are cut. Resolves with the number of requests that were still
   * being served then: 0 means that nothing was cut.
   */
  stop(graceMs: number): Promise<number>;
}

/** Listens. Rejects when the address cannot be had. */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const serving = new Serving(options.app);
  const server = listener(options, serving);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.listen.port, options.listen.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { address: host, port } = server.address() as AddressInfo;
  const authority = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return {
    address: { host, port, url: `${options.tls ? 'https' : 'http'}://${authority}` },
    stop: (graceMs) => stop(server, serving, options.runtime, graceMs),
  };
}

/** What is being served: the handlers, which outlive their clients. */
class Serving {
  readonly handle: (incoming: IncomingMessage, outgoing: ServerResponse) => void;
  private handlers = 0;
  private stopping = false;
  private whenIdle: (() => void) | null = null;

  constructor(app: ServeOptions['app']) {
    const listen = getRequestListener(async (request, env) => {
      const bindings = env as HttpBindings;
      this.handlers++;
      try {
        return await app.fetch(request, bindings);
      } finally {
        // Not by a set of all that is under way: one that grows and shrinks keeps what it held from being collected.
        this.lastIfStopping(bindings.outgoing);
        this.handlers--;
        if (this.handlers === 0) this.whenIdle?.();
      }
    });
    this.handle = (incoming, outgoing) => {
      // Also to what is refused before it comes to a handler.
      this.lastIfStopping(outgoing);
      void listen(incoming, outgoing);
    };
  }

  get count(): number {
    return this.handlers;
  }

  private lastIfStopping(outgoing: HttpBindings['outgoing']): void {
    if (this.stopping) outgoing.shouldKeepAlive = false;
  }

  /** From now on every answer says `Connection: close`. Resolves when no handler is at work. */
  async drained(): Promise<void> {
    this.stopping = true;
    if (this.handlers > 0) await new Promise<void>((resolve) => (this.whenIdle = resolve));
  }
}

function listener({ tls, limits }: ServeOptions, serving: Serving): Server {
  const options = {
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    // How often the two timeouts above are looked at.
    connectionsCheckingInterval: Math.max(50, Math.min(1000, limits.headersTimeoutMs / 2)),
  };
  const server = tls
    ? createTlsServer({ ...options, ...tlsOptions(tls) }, serving.handle)
    : createServer(options, serving.handle);
  server.maxConnections = limits.maxConnections;
  server.timeout = limits.idleTimeoutMs;
  server.on('clientError', refuseConnection);
  return server;
}

/**
 * With client certificates no session is ever resumed: a resumed one shows no certificate, or that of another time,
 * and proves no key.
 */
function tlsOptions({ cert, key, clientCertificates }: NonNullable<ServeOptions['tls']>): ServerOptions {
  const plain: ServerOptions = { cert, key, minVersion: 'TLSv1.2' };
  if (!clientCertificates) return plain;
  return {
    ...plain,
    requestCert: true,
    rejectUnauthorized: false,
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  };
}

/** Answers what never became a request: too long a header, too slow a client, not HTTP. */
function refuseConnection(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy(error);
    return;
  }
  const [status, code] = connectionFault(error.code);
  const body = JSON.stringify({ type: `/docs#problem-${code}`, title: PROBLEMS[code].title, status, code });
  socket.end(
    `HTTP/1.1 ${status} ${PROBLEMS[code].title}\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function connectionFault(errorCode: string | undefined): [number, 'too-large' | 'invalid-request'] {
  switch (errorCode) {
    case 'HPE_HEADER_OVERFLOW':
      return [431, 'too-large'];
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return [413, 'too-large'];
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [408, 'invalid-request'];
    default:
      return [400, 'invalid-request'];
  }
}

async function stop(server: Server, serving: Serving, runtime: Runtime, graceMs: number): Promise<number> {
  const finished = new AbortController();
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  const done = Promise.all([closed, serving.drained()]);
  const grace = runtime.sleep(graceMs, finished.signal).catch(() => {});
  await Promise.race([done, grace]);
  finished.abort();
  const cut = serving.count;
  server.closeAllConnections();
  await closed;
  return cut;
}
