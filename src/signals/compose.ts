import type { Broker } from '../broker/broker.ts';
import type { Verbs } from '../broker/verbs.ts';
import { HallpassError } from '../errors.ts';
import type { Consumer } from '../export/follower.ts';
import { readKeys } from '../identity/jwt/jwks.ts';
import { createKeySource, type KeyLocation } from '../identity/jwt/keys.ts';
import type { Issuer } from '../issuer/issuer.ts';
import type { Runtime } from '../runtime.ts';
import { createSignalDesk, type SignalDesk } from './receive.ts';
import { type Receiver, receiverConsumer } from './send.ts';
import type { Transmitter } from './set.ts';

/** What the configuration says of signals. */
export interface SignalSettings {
  readonly transmitters: readonly {
    readonly name: string;
    readonly issuer: string;
    readonly audience: string;
    readonly keys: { readonly uri: string } | { readonly set: string };
    /** Names of our issuers. */
    readonly speaksFor: readonly string[];
    readonly blockSeconds: number;
  }[];
  readonly receivers: readonly Receiver[];
}

/** What takes signals; null where nobody may send any. */
export function composeSignalDesk(
  broker: Broker,
  verbs: Pick<Verbs, 'kill'>,
  { transmitters }: SignalSettings,
  issuerUrls: ReadonlyMap<string, string>,
): SignalDesk | null {
  if (transmitters.length === 0) return null;
  return createSignalDesk(
    broker,
    verbs,
    transmitters.map((settings) => transmitterOf(settings, issuerUrls, broker.runtime)),
  );
}

/** Those who are told. Throws `config-invalid` where nothing can be signed for them. */
export function composeReceivers(
  { receivers }: SignalSettings,
  runtime: Runtime,
  issuer: Issuer | null,
  issuerUrls: ReadonlyMap<string, string>,
): readonly Consumer[] {
  if (receivers.length === 0) return [];
  if (issuer === null)
    throw new HallpassError(
      'config-invalid',
      'Cannot sign what signals.receivers are to be told: there are no signing keys; set keys.master_key_file',
    );
  return receivers.map((receiver) => receiverConsumer({ runtime, issuer, issuerUrls }, receiver));
}

function transmitterOf(
  { name, issuer, audience, keys, speaksFor, blockSeconds }: SignalSettings['transmitters'][number],
  issuerUrls: ReadonlyMap<string, string>,
  runtime: Runtime,
): Transmitter {
  const location = 'uri' in keys ? { kind: 'uri' as const, uri: keys.uri } : pinned(name, keys.set);
  return {
    name,
    issuer,
    audience,
    keys: createKeySource({ issuer, keys: location, allowInsecureHttp: false }, runtime),
    issuers: new Map(
      speaksFor.flatMap((own) => {
        const url = issuerUrls.get(own);
        return url === undefined ? [] : [[url, own] as const];
      }),
    ),
    blockSeconds,
  };
}

function pinned(name: string, text: string): KeyLocation {
  const read = readKeys(parsed(text));
  if (read.ok && read.value.keys.length > 0 && read.value.privateKeys === 0)
    return { kind: 'pinned', keys: read.value.keys };
  throw new HallpassError(
    'config-invalid',
    `Cannot use the keys of signals.transmitters "${name}": write a JWK Set, {"keys": [...]}, of public keys`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
