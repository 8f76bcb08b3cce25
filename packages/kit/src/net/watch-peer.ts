/**
 * Options of a TCP socket whose peer may go away without a word, for `net.connect` and `net.createServer`: a silent peer is
 * asked after 30 s, and taken for dead after ten questions a second apart (libuv's, RFC 9293 §3.8.4).
 */
export const watchPeer = { keepAlive: true, keepAliveInitialDelay: 30_000 } as const;
