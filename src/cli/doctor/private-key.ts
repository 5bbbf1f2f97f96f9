/** Whether a private key is encrypted, by its own header; null: it is no private key that we know. */
export function hasPassphrase(text: string): boolean | null {
  const [, kind, body = ''] = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----([\s\S]*?)-----END/.exec(text) ?? [];
  switch (kind) {
    case undefined:
      return null;
    case 'ENCRYPTED PRIVATE KEY':
      return true;
    case 'OPENSSH PRIVATE KEY':
      return cipherOf(body) !== 'none';
    default:
      // PEM of old says so in a header (RFC 1421), PKCS #8 in its label.
      return /^Proc-Type:.*ENCRYPTED/m.test(body);
  }
}

const MAGIC = 'openssh-key-v1\0';

/** OpenSSH's PROTOCOL.key: the magic, then the cipher's name with its length before it. */
function cipherOf(body: string): string | null {
  const bytes = Buffer.from(body.replace(/\s/g, ''), 'base64');
  if (bytes.length < MAGIC.length + 4 || bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) return null;
  const length = bytes.readUInt32BE(MAGIC.length);
  return bytes.toString('latin1', MAGIC.length + 4, MAGIC.length + 4 + length);
}
