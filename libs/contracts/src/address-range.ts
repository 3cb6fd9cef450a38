import { z } from 'zod';

const IPV4_BITS = 32;
const IPV6_BITS = 128;
const GROUP_BITS = 16n;

/** CIDR block or single address, IPv4 or IPv6, as it may be kept already: a block is named by any address in it. */
export const keptRange = z.union([z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()], {
  error: 'Use an address or CIDR block such as 10.0.0.0/8 or 2001:db8::/32',
});

/** A {@link keptRange} as it is sent: a block is named by its first address, so that nobody means another one. */
export const addressRange = keptRange.superRefine((text, context) => {
  const network = networkOf(text);
  if (network === null) return;
  const message = `${text} has bits set beyond its length; use ${network} for the block, or the address alone`;
  context.addIssue({ code: 'custom', message });
});

/** The block that a text lies in, where the text names it by another address than its first; else null. */
function networkOf(text: string): string | null {
  const [address, length] = text.split('/') as [string, string | undefined];
  if (length === undefined) return null;
  const isShort = !address.includes(':');
  const bits = isShort ? ipv4Bits(address) : ipv6Bits(address);
  const rest = BigInt((isShort ? IPV4_BITS : IPV6_BITS) - Number(length));
  const first = (bits >> rest) << rest;
  if (first === bits) return null;
  return `${isShort ? ipv4Text(first) : ipv6Text(first)}/${length}`;
}

function ipv4Bits(address: string): bigint {
  return address.split('.').reduce((bits, byte) => bits * 256n + BigInt(byte), 0n);
}

function ipv4Text(bits: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (bits >> shift) & 255n).join('.');
}

function ipv6Bits(address: string): bigint {
  const [head = '', tail] = address.split('::');
  const before = groupsOf(head);
  const after = groupsOf(tail ?? '');
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0n);
  return [...before, ...zeros, ...after].reduce((bits, group) => (bits << GROUP_BITS) + group, 0n);
}

function groupsOf(part: string): bigint[] {
  if (part === '') return [];
  return part.split(':').flatMap((group) => {
    if (!group.includes('.')) return BigInt(`0x${group}`);
    const bits = ipv4Bits(group);
    return [bits >> GROUP_BITS, bits & 0xffffn];
  });
}

/** As RFC 5952 writes it, which is how URLs do. */
function ipv6Text(bits: bigint): string {
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((bits >> (GROUP_BITS * BigInt(7 - i))) & 0xffffn).toString(16),
  );
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}
