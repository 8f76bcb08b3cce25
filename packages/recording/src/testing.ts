/** Helpers for tests of recordings. */
export {};
