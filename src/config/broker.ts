import { createSecureContext } from 'node:tls';
import type { Fault } from '../grants/fault.ts';
import { quote } from '../grants/fault.ts';
import type { KeySettings } from '../issuer/compose.ts';
import type { BrokerConfig } from './config.ts';
import type { RawConfig } from './schema.ts';
import { type Loading, readText, relativeTo } from './secrets.ts';

type RawBroker = RawConfig['broker'];

/** The section `broker`, checked across its members; null when it has faults. */
export async function brokerConfig(raw: RawBroker, loading: Loading): Promise<BrokerConfig | null> {
  const before = loading.faults.length;
  const fault = (member: string, message: string) =>
    loading.faults.push({ path: ['broker', member], message });
  const listen = parseListen(raw.listen);
  if (listen === null) fault('listen', 'Cannot read this address: write it like 127.0.0.1:7420 or [::]:7420');
  const beyond = urlFault(raw.url);
  if (beyond !== null) fault('url', beyond);
  if (
    listen !== null &&
    raw.tls === undefined &&
    raw.insecure_plain_http === undefined &&
    !isLoopback(listen.host)
  ) {
    const advice =
      'give broker.tls, listen on 127.0.0.1, or set broker.insecure_plain_http: true behind a proxy that ends TLS';
    fault('listen', `Cannot listen on ${quote(listen.host)} without TLS: ${advice}`);
  }
  if (raw.tls !== undefined && raw.insecure_plain_http !== undefined)
    fault('insecure_plain_http', 'Contradicts broker.tls: remove one of them');
  const tls = raw.tls === undefined ? null : await readTls(raw.tls, loading);
  if (listen === null || loading.faults.length > before) return null;
  return {
    url: raw.url.replace(/\/+$/, ''),
    name: raw.name,
    listen,
    tls,
    stateDirectory: relativeTo(loading.path, raw.state_directory),
    limits: limitsOf(raw.limits ?? {}),
  };
}

function urlFault(text: string): string | null {
  const url = new URL(text);
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    return 'Cannot have a user, a query or a fragment: write scheme, host, and port and path if need be';
  if (url.protocol === 'http:' && !isLoopback(url.hostname.replace(/^\[|\]$/g, '')))
    return 'Cannot be http beyond this machine: tokens and secrets would be in clear; write https';
  return null;
}

function parseListen(text: string): { readonly host: string; readonly port: number } | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const port = Number(match[3]);
  return port > 65_535 ? null : { host: match[1] ?? match[2] ?? '', port };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

async function readTls(raw: NonNullable<RawBroker['tls']>, loading: Loading): Promise<BrokerConfig['tls']> {
  const pem = async (member: 'cert_file' | 'key_file', marker: RegExp): Promise<string | null> => {
    const path = ['broker', 'tls', member];
    const read = await readText(relativeTo(loading.path, raw[member]), loading.readFile);
    if (typeof read === 'string') {
      loading.faults.push({ path, message: read });
      return null;
    }
    if (!marker.test(read.text)) {
      loading.faults.push({ path, message: `Cannot use ${quote(raw[member])}: it is not PEM of that kind` });
      return null;
    }
    if (member === 'key_file' && (read.mode & 0o004) !== 0)
      loading.warnings.push({
        path,
        message: `Everybody on this machine may read ${quote(raw[member])}: chmod 0600`,
      });
    return read.text;
  };
  const cert = await pem('cert_file', /-----BEGIN CERTIFICATE-----/);
  const key = await pem('key_file', /-----BEGIN [A-Z ]*PRIVATE KEY-----/);
  if (cert === null || key === null) return null;
  const unusable = pairFault(cert, key);
  if (unusable !== null) {
    const { member, what } = unusable;
    loading.faults.push({
      path: ['broker', 'tls', member],
      message: `Cannot use ${quote(raw[member])}: ${what}`,
    });
    return null;
  }
  return { cert, key, clientCertificates: raw.client_certificates !== undefined };
}

/** What the listener would find at its start. */
function pairFault(
  cert: string,
  key: string,
): { readonly member: 'cert_file' | 'key_file'; readonly what: string } | null {
  if (!canServe({ cert })) return { member: 'cert_file', what: 'it holds no certificate that can be read' };
  if (!canServe({ cert, key }))
    return {
      member: 'key_file',
      what: 'it is not the private key, without a passphrase, of the first certificate in cert_file',
    };
  return null;
}

function canServe(pair: { readonly cert: string; readonly key?: string }): boolean {
  try {
    createSecureContext(pair);
    return true;
  } catch {
    return false;
  }
}

function limitsOf(raw: NonNullable<RawBroker['limits']>): BrokerConfig['limits'] {
  const limits = {
    bodyBytes: raw.body_bytes,
    requestsPerSecond: raw.requests_per_second,
    mintingPerTarget: raw.minting_per_target,
    endingPerTarget: raw.ending_per_target,
    mintTimeoutSeconds: raw.mint_timeout,
    endTimeoutSeconds: raw.end_timeout,
    observeEverySeconds: raw.observe_every,
  };
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined));
}

/** Only the form: whether anybody answers there is for the start to find out. The URL itself is never told. */
export function databaseFaults(database: RawConfig['database']): Fault[] {
  if (database === undefined || database.url === '' || /^postgres(?:ql)?:\/\//.test(database.url)) return [];
  return [
    {
      path: ['database', 'url'],
      message: 'Cannot use this: write postgres://user:password@host:port/database',
    },
  ];
}

/** The section `keys`, checked across its members. No service is asked and no program run. */
export function keysConfig(raw: NonNullable<RawConfig['keys']>, loading: Loading): KeySettings {
  const { master_key: masterKey, master_key_command: command, aws_kms: kms, rotate_every: rotateEvery } = raw;
  if (masterKey !== undefined && command !== undefined)
    loading.faults.push({
      path: ['keys', 'master_key_command'],
      message: 'Cannot stand beside master_key: keep one of the two',
    });
  if (kms?.only_opens && masterKey === undefined && command === undefined)
    loading.faults.push({
      path: ['keys', 'aws_kms', 'only_opens'],
      message: 'Leaves nothing to seal with: write master_key_file as well, or remove it',
    });
  if (kms?.insecure_endpoint !== undefined)
    loading.warnings.push({
      path: ['keys', 'aws_kms', 'insecure_endpoint'],
      message: 'Whoever is there gets every key that AWS would: for tests only',
    });
  return {
    masterKey: masterKey ?? null,
    masterKeyCommand: command ?? null,
    awsKms:
      kms === undefined
        ? null
        : {
            keyArn: kms.key_arn,
            alsoOpens: kms.also_opens,
            onlyOpens: kms.only_opens ?? false,
            endpoint: kms.insecure_endpoint ?? null,
          },
    algorithm: raw.algorithm,
    rotateEveryMs: rotateEvery === undefined ? null : rotateEvery * 1000,
  };
}
