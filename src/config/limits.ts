/** The bounds of the configuration, each with its reason. */

/** Bytes of the file: thousands of grants fit. */
export const MAX_FILE_BYTES = 1024 * 1024;
/** Bytes of a file that a setting names: bundles of certificates and keys. */
export const MAX_SETTING_FILE_BYTES = 1024 * 1024;
/** Maps and lists within one another. */
export const MAX_DEPTH = 40;
/** Issuers, targets, grants, access rules, each: start-up reads them all. */
export const MAX_ENTRIES = 10_000;
/** Faults in one report: more are not read. */
export const MAX_FAULTS = 200;
