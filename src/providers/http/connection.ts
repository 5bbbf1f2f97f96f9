import { z } from 'zod';
import { ProviderError, type ProviderErrorCode } from '../../errors.ts';
import { type Json, sha256 } from '../../json.ts';
import { createOutbound } from '../../outbound.ts';
import type { TargetContext } from '../provider.ts';
import { REQUEST_TOKEN_SECONDS } from './limits.ts';
import type { HttpSettings } from './settings.ts';

export type Operation = 'mint' | 'end' | 'extend' | 'list';

/** The service. Each request is signed: by a token that names the operation and holds the hash of the body. */
export interface Connection {
  /** Answers what came with status 200 and fits the schema; all else is a ProviderError. */
  ask<T>(operation: Operation, schema: z.ZodType<T>, body: Json, signal: AbortSignal): Promise<T>;
  close(): Promise<void>;
}

/** Status to ours. A service that says 4xx has done nothing, but for the name that is taken already and the request that it had before. */
const BY_STATUS: Readonly<Record<number, ProviderErrorCode>> = {
  401: 'target-forbidden',
  403: 'target-forbidden',
  408: 'target-timeout',
  409: 'target-failed', // something of that name exists, or this request came twice and may have been served
  425: 'target-throttled',
  429: 'target-throttled',
  502: 'target-unreachable',
  503: 'target-unreachable',
  504: 'target-timeout',
};

const problemSchema = z.object({ error: z.string() });

export function connect(
  settings: HttpSettings,
  { identityToken, runtime, target }: TargetContext,
): Connection {
  const outbound = createOutbound(runtime, settings.tls);
  return {
    async ask(operation, schema, body, signal) {
      const doing = `${operation} at the service`;
      if (identityToken === undefined)
        throw new ProviderError(
          'target-refused',
          `Cannot ${doing}: the broker has no signing keys for target "${target}", write keys.master_key_file`,
        );
      const text = JSON.stringify(body);
      const url = `${settings.url}/${operation}`;
      const claims = { htm: 'POST', htu: url, body_sha256: sha256(text) };
      const token = await identityToken(settings.audience ?? settings.url, claims, REQUEST_TOKEN_SECONDS);
      const headers = {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        accept: 'application/json',
      };
      const answer = await outbound.send(doing, { method: 'POST', url, headers, body: text }, signal);
      if (answer.status !== 200) throw refused(doing, answer.status, answer.text, answer.headers);
      const read = schema.safeParse(parse(answer.text));
      if (read.success) return read.data;
      const where = read.error.issues.map(({ path }) => path.join('.') || 'the whole').join(', ');
      throw new ProviderError('target-failed', `Cannot ${doing}: its answer breaks the protocol at ${where}`);
    },
    close: () => outbound.close(),
  };
}

function refused(doing: string, status: number, text: string, headers: Headers): ProviderError {
  const code = BY_STATUS[status] ?? (status >= 400 && status < 500 ? 'target-refused' : 'target-failed');
  const said = problemSchema.safeParse(parse(text)).data?.error ?? '';
  const plain = said.replaceAll(/[\s\p{C}]+/gu, ' ').slice(0, 300);
  const seconds = Number(headers.get('retry-after') ?? Number.NaN);
  return new ProviderError(code, `Cannot ${doing}: it answered ${status}${plain && `, "${plain}"`}`, {
    vendorCode: String(status),
    ...(seconds >= 0 && seconds < 86_400 ? { retryAfterMs: seconds * 1000 } : {}),
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
