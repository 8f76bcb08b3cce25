/** The few parts of ssh2 1.17.0 (patched) that this folder uses. They are private there: the contract tests fail when they move. */

declare module 'ssh2/lib/protocol/Protocol.js' {
  import { KexInit } from 'ssh2/lib/protocol/kex.js';

  namespace Protocol {
    interface HostKey {
      readonly type: string;
      getPublicSSH(): Buffer;
      /** In SSH's own form or DER; `hash` is given for RSA. */
      sign(data: Buffer, hash?: string): Buffer | Error;
    }

    interface Lists {
      readonly kex: readonly string[];
      readonly serverHostKey: readonly string[];
      readonly cs: Direction;
      readonly sc: Direction;
    }

    interface Direction {
      readonly cipher: readonly string[];
      readonly mac: readonly string[];
      readonly compress: readonly string[];
      readonly lang: readonly string[];
    }

    interface Negotiated {
      readonly kex: string;
      readonly serverHostKey: string;
      readonly cs: { readonly cipher: string; readonly mac: string };
      readonly sc: { readonly cipher: string; readonly mac: string };
    }

    interface Header {
      readonly identRaw: string;
      readonly versions: { readonly protocol: string; readonly software: string };
    }

    interface Config {
      readonly server?: boolean;
      readonly ident?: string;
      readonly offer: Lists | KexInit;
      readonly hostKeys?: Readonly<Record<string, HostKey>>;
      readonly hostVerifier?: (key: Buffer) => boolean;
      readonly onWrite: (data: Buffer) => void;
      readonly onError: (error: Error) => void;
      readonly onHeader?: (header: Header) => void;
      readonly onHandshakeComplete?: (negotiated: Negotiated) => void;
      readonly messageHandlers?: Readonly<
        Record<string, (protocol: Protocol, reason: number, text: string) => void>
      >;
    }

    interface PacketWriter {
      allocStart: number;
      allocStartKEX: number;
      alloc(payloadBytes: number, duringKex?: boolean): Buffer;
      finalize(packet: Buffer, duringKex?: boolean): Buffer;
    }
  }

  class Protocol {
    constructor(config: Protocol.Config);
    start(): void;
    parse(chunk: Buffer, start: number, end: number): void;
    rekey(): void;
    cleanup(): void;
    /** Called by ssh2 itself on fatal errors; replaced by one that says why. */
    disconnect: (reason: number, text?: string) => void;
    /** Undefined once the instance has ended. */
    _destruct: unknown;
    _authenticated: boolean;
    /** The lists of our KEXINIT, read when the peer's identification line has come. */
    _offer: KexInit;
    /** The instance's own dispatcher; replaced before the key exchange, so that it sees every message behind it. */
    _onPayload: (payload: Buffer) => unknown;
    /** Our KEXINIT while a key exchange is on. */
    readonly _kexinit: Buffer | undefined;
    readonly _kex: { readonly sessionID: Buffer | undefined } | undefined;
    readonly _strictMode: boolean | undefined;
    readonly _decipher: { readonly inSeqno: number } | undefined;
    readonly _cipher: { encrypt(packet: Buffer): void };
    readonly _packetRW: { readonly write: Protocol.PacketWriter };
  }
  export = Protocol;
}

declare module 'ssh2/lib/protocol/crypto.js' {
  export const bindingAvailable: boolean;
}

declare module 'ssh2/lib/protocol/kex.js' {
  import type Protocol from 'ssh2/lib/protocol/Protocol.js';

  /** A KEXINIT offered exactly as given: without the strict marker that ssh2 adds to plain lists. */
  export class KexInit {
    constructor(lists: Protocol.Lists);
  }
}
