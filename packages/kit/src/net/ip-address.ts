/** IP addresses as text and as bytes. */
import { SocketAddress, isIPv4, isIPv6 } from 'node:net';

/** The 4 or 16 bytes of an address; a zone (`%eth0`) is dropped. Undefined for what is no address. */
export function parseIpAddress(text: string): Buffer | undefined {
  if (isIPv4(text)) return Buffer.from(text.split('.').map(Number));
  const address = text.replace(/%.*$/, '');
  if (!isIPv6(address)) return undefined;
  const [head = '', tail] = address.split('::', 2);
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  return Buffer.concat([
    Buffer.from(front),
    Buffer.alloc(16 - front.length - back.length),
    Buffer.from(back),
  ]);
}

/** Text of 4 or 16 bytes: IPv6 in its short form, an IPv4-mapped address (`::ffff:…`) as plain IPv4. */
export function formatIpAddress(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.subarray(0, 12).equals(mappedPrefix)) return bytes.subarray(12).join('.');
  const text = bytes.toString('hex').replace(/(....)(?!$)/g, '$1:');
  return new SocketAddress({ address: text, family: 'ipv6' }).address;
}

/** `::ffff:0:0/96`, before the four bytes of an IPv4 address (RFC 4291 §2.5.5.2). */
export const mappedPrefix: Buffer = Buffer.from('00000000000000000000ffff', 'hex');

function groups(part: string): number[] {
  if (part === '') return [];
  return part.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
