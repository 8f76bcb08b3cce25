/**
 * Which part of a cluster a TLS peer is, from the URI in its certificate (D15). For the path of `gate proxy ssh`, which
 * has no room for an X.509 library: Node has verified the chain and prints the names.
 */

/** `gatehouse://<cluster>/service/proxy/srv_…` out of Node's `subjectaltname`, else undefined. */
export function findPartUri(subjectAltName: string | undefined): string | undefined {
  // A name with a comma or a quote in it is printed between quotes: what is inside must not be read as a name.
  const plain = (subjectAltName ?? '').replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const uris = plain.split(', ').filter((name) => name.startsWith('URI:gatehouse://'));
  return uris.length === 1 ? uris[0]?.slice('URI:'.length) : undefined;
}

/** Is it a proxy of that cluster? `cluster` undefined: of any. */
export function isProxyOf(
  subjectAltName: string | undefined,
  cluster: string | undefined,
): boolean {
  const match = /^gatehouse:\/\/([^/]+)\/service\/proxy\/[^/]+$/.exec(
    findPartUri(subjectAltName) ?? '',
  );
  return match !== null && (cluster === undefined || match[1] === cluster);
}
