/**
 * Codes as people read them out: Crockford's base32 in groups of four, without letters that look like digits. Case,
 * spaces and hyphens do not matter, and `O`, `I` and `L` are read as what they look like.
 */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

export function codeText(share: Uint8Array): string {
  let text = '';
  let [bits, held] = [0, 0];
  for (const byte of share) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET.charAt((held >> bits) & 31);
    }
    held &= (1 << bits) - 1;
  }
  if (bits > 0) text += ALPHABET.charAt((held << (5 - bits)) & 31);
  return text.replace(/.{4}(?=.)/g, '$&-');
}

/** The bytes of a code, or null when it is none. */
export function codeBytes(text: string): Uint8Array | null {
  const plain = text.toUpperCase().replace(/[\s-]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1');
  const bytes: number[] = [];
  let [bits, held] = [0, 0];
  for (const letter of plain) {
    const value = ALPHABET.indexOf(letter);
    if (value < 0) return null;
    held = (held << 5) | value;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((held >> bits) & 255);
    held &= (1 << bits) - 1;
  }
  return held === 0 && bits < 5 && bytes.length > 0 ? Uint8Array.from(bytes) : null;
}
