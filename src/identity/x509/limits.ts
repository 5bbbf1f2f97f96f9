/** Bounds of certificates, each with its reason. */

/** A leaf, and more intermediates than any authority puts between. */
export const CHAIN_MAX = 8;

/** Certificates have 1 to 2 KiB; those with many names a little more. */
export const CERTIFICATE_MAX_BYTES = 16_384;

/** Authorities that may stand between a leaf and an anchor. */
export const INTERMEDIATES_MAX = 4;

/** Signatures that one chain may make us verify, whatever it holds. */
export const VERIFICATIONS_MAX = 32;

/** Names in a certificate that are looked at. */
export const NAMES_MAX = 64;

/** A SPIFFE ID, the longest kind of name, has at most 2048 bytes. */
export const NAME_MAX_CHARS = 2_048;

/** RFC 8017 keys that are too short to be trusted with an identity, and too long to be cheap to verify. */
export const RSA_BITS_MIN = 2_048;
export const RSA_BITS_MAX = 8_192;

/** By an exponent of 1 everybody signs. The work of a verification, which strangers' chains ask for, grows with it. */
export const RSA_EXPONENT_MIN = 3n;
export const RSA_EXPONENT_MAX = 0xffff_ffffn;

/** Entries of a revocation list: a large private authority's. */
export const REVOKED_MAX = 200_000;
