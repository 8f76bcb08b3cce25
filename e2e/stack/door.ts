/** gRPC through the port, call by call and without a codec: who is let in where. */
import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type ClientHttp2Stream,
} from 'node:http2';
import { connect as connectTls } from 'node:tls';

import { derToPem } from '@gatehouse/identity';

import type { Installation } from './installation.js';

/** A key with its X.509 certificate, DER. */
export interface TlsCredential {
  readonly privateKeyPem: string;
  readonly certificate: Buffer;
}

/** A connection to auth-service or audit-service by server name (D18); without a credential: anonymous. */
export function openDoor(
  home: Installation,
  name: 'auth' | 'audit',
  credential?: TlsCredential,
): ClientHttp2Session {
  const servername = `${name}.${home.ready.clusterName}.gatehouse.internal`;
  const port = Number(home.ready.proxyAddr.split(':')[1]);
  const session = connectHttp2(`https://${servername}`, {
    createConnection: () =>
      connectTls({
        port,
        host: '127.0.0.1',
        servername,
        rejectUnauthorized: false,
        ALPNProtocols: ['h2'],
        ...(credential && {
          key: credential.privateKeyPem,
          cert: derToPem(credential.certificate, 'CERTIFICATE'),
        }),
      }),
  });
  session.on('error', () => undefined);
  return session;
}

export function request(session: ClientHttp2Session, path: string): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => undefined);
  return stream;
}

/** The gRPC status of a call with an empty message: 7 refused, 12 not offered here, 16 unauthenticated. */
export async function statusOf(session: ClientHttp2Session, path: string): Promise<string> {
  return new Promise((resolve) => {
    const stream = request(session, path);
    const take = (headers: Record<string, unknown>) => {
      const status = headers['grpc-status'];
      if (typeof status === 'string') resolve(status);
    };
    stream.on('response', take);
    stream.on('trailers', take);
    stream.once('close', () => resolve('closed'));
    stream.resume();
    stream.end(Buffer.alloc(5));
  });
}
