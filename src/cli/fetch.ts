import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import type { RequestOptions } from 'node:https';
import type { Fetch, FetchAnswer, FetchInit } from '../client/transport.ts';

/** Bytes of an answer: a bundle of the log has 256 entries. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/**
 * The client's `fetch` over `node:http` and `node:https`: the first use of Node's own costs more than everything else
 * that a short command does. Connections are kept for the next request, and do not keep the process.
 */
export function openFetch(ca: string | null): Fetch {
  let trust: Promise<RequestOptions> | null = null;
  return async (url, init) => {
    if (url.protocol !== 'https:') return exchange(httpRequest(url, optionsOf(init)), init.body);
    const { request } = await import('node:https');
    trust ??= trustIn(ca);
    return exchange(request(url, { ...optionsOf(init), ...(await trust) }), init.body);
  };
}

function optionsOf({ method = 'GET', headers, body, signal }: FetchInit): RequestOptions {
  const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
  return { method, headers: { accept: '*/*', ...headers, ...length }, signal };
}

async function trustIn(ca: string | null): Promise<RequestOptions> {
  if (ca === null) return {};
  const [{ Agent }, { rootCertificates }] = await Promise.all([import('node:https'), import('node:tls')]);
  return { agent: new Agent({ keepAlive: true, ca: [...rootCertificates, ca] }) };
}

function exchange(request: ClientRequest, body: string | undefined): Promise<FetchAnswer> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(reasonOf(error));
    request.on('error', fail);
    request.once('response', (answer) => {
      answer.on('error', fail);
      const status = answer.statusCode ?? 0;
      if (status >= 300 && status < 400 && answer.headers.location !== undefined) {
        request.destroy();
        return reject(new Error('it redirects to elsewhere, and a token is for this broker alone'));
      }
      const chunks: Buffer[] = [];
      let size = 0;
      answer.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) answer.destroy(new Error('its answer is too large'));
        else chunks.push(chunk);
      });
      answer.once('end', () => resolve(answerOf(answer, status, Buffer.concat(chunks))));
    });
    request.end(body);
  });
}

function answerOf({ headers }: IncomingMessage, status: number, body: Buffer): FetchAnswer {
  return {
    ok: status >= 200 && status < 300,
    status,
    headers: {
      get(name) {
        const value = headers[name.toLowerCase()];
        return value === undefined ? null : String(value);
      },
    },
    // It has been read.
    body: null,
    text: async () => new TextDecoder().decode(body),
    arrayBuffer: async () => new Uint8Array(body).buffer,
  };
}

/** Node tries all addresses of a name, and packs what went wrong with each into an error without a message. */
function reasonOf(error: Error): Error {
  const [first] = error instanceof AggregateError ? error.errors : [];
  return first instanceof Error ? first : error;
}
