import { connect, createServer, type Server, type Socket } from 'node:net';

/** What the network between a client and a server does. */
export type Weather =
  /** Everything passes. */
  | { readonly kind: 'fair' }
  /** New connections are refused and open ones cut: nobody is there. */
  | { readonly kind: 'down' }
  /** Requests arrive; so do the next `replies` replies; then the connection is cut, once the server has answered. */
  | { readonly kind: 'cut'; readonly replies: number }
  /** Requests arrive; so do the next `replies` replies; then answers are swallowed. */
  | { readonly kind: 'deaf'; readonly replies: number }
  /** Connections are taken, and nothing passes in either direction. */
  | { readonly kind: 'blackhole' }
  /** Everything passes, so much later in each direction. */
  | { readonly kind: 'slow'; readonly delayMs: number };

/** A TCP proxy on loopback that can be told to fail. A reply is what the server sends between two requests. */
export interface TcpProxy extends AsyncDisposable {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** Holds for open and for new connections, until the next call. */
  set(weather: Weather): void;
  /** Resolves when the server has answered something that did not reach the client. */
  swallowed(): Promise<void>;
  close(): Promise<void>;
}

export async function startTcpProxy(to: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  const proxy = new Proxy_(to);
  await proxy.listen();
  return proxy;
}

class Proxy_ implements TcpProxy {
  readonly host = '127.0.0.1';
  port = 0;
  readonly #to: { readonly host: string; readonly port: number };
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #weather: Weather = { kind: 'fair' };
  /** Replies that still pass in this weather. */
  #left = 0;
  #onSwallowed: (() => void)[] = [];
  #hasSwallowed = false;

  constructor(to: { readonly host: string; readonly port: number }) {
    this.#to = to;
    this.#server = createServer((client) => this.#serve(client));
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.port, this.host, resolve);
    });
    const address = this.#server.address();
    if (typeof address === 'object' && address) this.port = address.port;
  }

  set(weather: Weather): void {
    this.#weather = weather;
    this.#left = 'replies' in weather ? weather.replies : 0;
    this.#hasSwallowed = false;
    // What was in a blackhole does not come out of it again, and what waits for an answer never gets it.
    this.#cutAll((socket) => weather.kind === 'down' || stranded.has(socket));
  }

  swallowed(): Promise<void> {
    if (this.#hasSwallowed) return Promise.resolve();
    return new Promise((resolve) => this.#onSwallowed.push(resolve));
  }

  async close(): Promise<void> {
    this.#cutAll(() => true);
    if (!this.#server.listening) return;
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #serve(client: Socket): void {
    if (this.#weather.kind === 'down') {
      client.resetAndDestroy();
      return;
    }
    const server = connect(this.#to.port, this.#to.host);
    let answering = false;
    const close = () => {
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', close);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        close();
      });
    }
    client.on('data', (data) => {
      answering = false;
      if (this.#weather.kind === 'blackhole') stranded.add(client).add(server);
      else this.#pass(server, data);
    });
    server.on('data', (data) => {
      const first = !answering;
      answering = true;
      if (this.#passes(first)) {
        this.#pass(client, data);
        return;
      }
      if (this.#weather.kind === 'cut') close();
      else stranded.add(client).add(server);
      this.#hasSwallowed = true;
      for (const tell of this.#onSwallowed.splice(0)) tell();
    });
  }

  #pass(socket: Socket, data: Buffer): void {
    // What is late may overtake nothing: where the weather has changed, order is kept by cutting the connection.
    if (this.#weather.kind !== 'slow') {
      if (late.has(socket)) socket.resetAndDestroy();
      else socket.write(data);
      return;
    }
    late.set(socket, (late.get(socket) ?? 0) + 1);
    setTimeout(() => {
      const left = (late.get(socket) ?? 1) - 1;
      if (left === 0) late.delete(socket);
      else late.set(socket, left);
      if (!socket.destroyed) socket.write(data);
    }, this.#weather.delayMs).unref();
  }

  #passes(first: boolean): boolean {
    if (this.#weather.kind === 'fair' || this.#weather.kind === 'slow') return true;
    if (!('replies' in this.#weather)) return false;
    if (!first) return this.#left >= 0;
    this.#left--;
    return this.#left >= 0;
  }

  #cutAll(which: (socket: Socket) => boolean): void {
    for (const socket of [...this.#sockets]) if (which(socket)) socket.resetAndDestroy();
  }
}

/** How many pieces are on their slow way to a socket. */
const late = new WeakMap<Socket, number>();

/** Sockets that lost something on the way: their streams are no longer whole. */
const stranded = new WeakSet<Socket>();
