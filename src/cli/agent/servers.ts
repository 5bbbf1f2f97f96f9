import { chmodSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect } from 'node:net';
import { UsageError } from '../failure.ts';
import { type Answer, answerLoopback, answerMetadata, answerSocket, type Endpoint } from './requests.ts';

/** What the agent listens on. */
export interface Servers {
  /** AWS SDKs and Google's libraries. */
  readonly port: number;
  /** Google's metadata server; null: not wanted. */
  readonly metadataPort: number | null;
  close(): Promise<void>;
}

/** Bounds of a local endpoint: a hundred programs at once are many, a request is one line and some headers. */
const LIMITS = {
  requestTimeout: 5_000,
  headersTimeout: 5_000,
  maxHeaderSize: 8_192,
  keepAliveTimeout: 5_000,
};
const MAX_CONNECTIONS = 512;

export async function startServers(
  socketPath: string,
  endpoint: Endpoint,
  wishes: { readonly port: number; readonly metadata: boolean },
): Promise<Servers> {
  const user = process.getuid?.();
  if (wishes.metadata && (user === undefined || process.platform !== 'linux'))
    throw new UsageError(
      'Cannot serve Google metadata: only Linux tells whose connection it is; leave --gce out',
    );
  await refuseSecondAgent(socketPath);
  const started: Server[] = [];
  const listen = async (
    answer: (request: IncomingMessage, port: number) => Promise<Answer>,
    at: number | string,
  ) => {
    const server = serve(answer);
    await listening(server, at);
    started.push(server);
    return portOf(server);
  };
  const close = async () => {
    await Promise.all(started.map(closed));
    rmSync(socketPath, { force: true });
  };
  try {
    // The folder is ours alone, so nobody reaches the socket before its mode is set.
    await listen((request) => answerSocket(request, endpoint), socketPath);
    chmodSync(socketPath, 0o600);
    const port = await listen((request, own) => answerLoopback(request, own, endpoint), wishes.port);
    const metadataPort =
      wishes.metadata && user !== undefined
        ? await listen((request, own) => answerMetadata(request, own, endpoint, user), 0)
        : null;
    return { port, metadataPort, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function serve(answer: (request: IncomingMessage, port: number) => Promise<Answer>): Server {
  const server = createServer(LIMITS, (request, response) => {
    answer(request, portOf(server))
      .catch((error: unknown): Answer => ({ status: 503, body: { error: messageOf(error) } }))
      .then(({ status, body, headers }) => {
        const json = typeof body !== 'string';
        response.writeHead(status, {
          'content-type': json ? 'application/json' : 'application/text',
          'cache-control': 'no-store',
          // What was not read of a request is not read at all.
          ...(request.complete ? {} : { connection: 'close' }),
          ...headers,
        });
        response.end(json ? JSON.stringify(body) : body);
      });
  });
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

/** What may be told to a program: the broker's own words hold no secret. */
function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'failed';
}

async function refuseSecondAgent(path: string): Promise<void> {
  const runs = await new Promise<boolean>((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
  if (runs)
    throw new UsageError(`Cannot start: an agent runs at ${path} already; give this one another --dir`);
  rmSync(path, { force: true });
}

function listening(server: Server, at: number | string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    if (typeof at === 'string') server.listen(at, resolve);
    else server.listen(at, '127.0.0.1', resolve);
  });
}

function portOf(server: Server): number {
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : 0;
}

function closed(server: Server): Promise<unknown> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(resolve));
}
