import { headerOf, idOfEnvelope, type MasterKeys, openUnder, sealUnder, unknownKey } from './master-keys.ts';

/** What a key management service does for us. Its own keys never leave it. */
export interface DataKeys {
  /** Names the keys of the service that may open; the first also makes. */
  readonly keyIds: readonly [string, ...string[]];
  /** A new key of 32 bytes, in clear and wrapped. */
  make(): Promise<DataKey>;
  /** The key in clear. Throws `config-invalid` when the service will not, and `kms-unavailable` when it cannot. */
  unwrap(keyId: string, wrapped: string): Promise<Uint8Array>;
}

interface DataKey {
  readonly key: Uint8Array;
  /** Base64. Only the service opens it. */
  readonly wrapped: string;
}

/**
 * Master keys that a key management service guards: each process has the service make one when it first seals, and
 * every envelope carries its own key, wrapped. So nothing but the envelopes is kept anywhere, and replicas have nothing
 * to agree about.
 */
export function kmsMasterKeys(service: DataKeys): MasterKeys {
  const [currentId] = service.keyIds;
  const known = new Map<string, Uint8Array>();
  let making: Promise<DataKey> | null = null;

  function current(): Promise<DataKey> {
    making ??= service.make().catch((error: unknown) => {
      making = null;
      throw error;
    });
    return making;
  }

  return {
    currentId,
    knows: (id) => service.keyIds.includes(id),
    async seal(purpose, secret) {
      const { key, wrapped } = await current();
      return sealUnder(key, { kid: currentId, purpose, wrapped }, secret);
    },
    async open(purpose, envelope) {
      const id = idOfEnvelope(envelope);
      if (!service.keyIds.includes(id)) throw unknownKey(purpose, id);
      const wrapped = headerOf(envelope, 'wrapped');
      const key = known.get(wrapped) ?? (await service.unwrap(id, wrapped));
      const secret = await openUnder(key, purpose, envelope);
      if (known.size < MAX_KNOWN_KEYS) known.set(wrapped, key);
      return secret;
    },
    idOf: idOfEnvelope,
  };
}

/** Each signing key may have its own, and there are never more than a few. */
const MAX_KNOWN_KEYS = 16;
