import { isIPv4, isIPv6 } from 'node:net';

const GROUP_BITS = 16;
const MAPPED_BITS = 96;
/** `fc00::/7`, RFC 4193. */
const LOCAL_BITS = 7;
const LOCAL_PREFIX = 0xfc >> 1;

/** 16-bit groups of an address, first to last: 2 of an IPv4, 8 of an IPv6. */
type Groups = number[];
interface Range {
  groups: Groups;
  bits: number;
}

/** Read once per list; a list is never changed in place. */
const compiled = new WeakMap<readonly string[], Range[]>();

/**
 * Whether an address lies in one of the ranges (addresses or CIDR blocks, IPv4 or IPv6). An IPv4 address mapped into IPv6,
 * `::ffff:10.0.0.1`, is that IPv4 address, in ranges too; an IPv6 block holds no IPv4 address otherwise. A zone
 * (`%eth0`) is left out of account. What cannot be read lies in no range and holds no address.
 *
 * @param ranges read at the first call and remembered with the array: do not change it afterwards
 */
export function inRanges(ranges: readonly string[], ip: string): boolean {
  const address = readAddress(ip);
  if (address === null) return false;
  let known = compiled.get(ranges);
  if (known === undefined) {
    known = ranges.map(readRange).filter((range) => range !== null);
    compiled.set(ranges, known);
  }
  return known.some((range) => holds(range, address));
}

/** Blocks that are wider than these prefixes name no place in the net; a list of 100 narrower ones cannot name every address. */
export const WIDEST_PREFIX = { ipv4: 8, ipv6: 16 } as const;

/** Whether a range is wider than {@link WIDEST_PREFIX}; the unique local addresses of IPv6, `fc00::/7`, are not. */
export function isWide(text: string): boolean {
  const range = readRange(text);
  if (range === null) return false;
  const { groups, bits } = range;
  if (groups.length === 2) return bits < WIDEST_PREFIX.ipv4;
  const isLocal = bits >= LOCAL_BITS && groups[0]! >> (GROUP_BITS - LOCAL_BITS) === LOCAL_PREFIX;
  return bits < WIDEST_PREFIX.ipv6 && !isLocal;
}

function readAddress(text: string): Groups | null {
  const groups = readGroups(text);
  return groups !== null && isMapped(groups) ? groups.slice(-2) : groups;
}

function readRange(text: string): Range | null {
  const slash = text.indexOf('/');
  const groups = readGroups(slash < 0 ? text : text.slice(0, slash));
  if (groups === null) return null;
  const width = groups.length * GROUP_BITS;
  const length = slash < 0 ? String(width) : text.slice(slash + 1);
  const bits = /^[0-9]{1,3}$/.test(length) ? Number(length) : Infinity;
  if (bits > width) return null;
  if (isMapped(groups) && bits >= MAPPED_BITS) {
    return { groups: groups.slice(-2), bits: bits - MAPPED_BITS };
  }
  return { groups, bits };
}

function holds(range: Range, address: Groups): boolean {
  if (range.groups.length !== address.length) return false;
  for (let i = 0, left = range.bits; left > 0; i++, left -= GROUP_BITS) {
    const shift = Math.max(0, GROUP_BITS - left);
    if (range.groups[i]! >> shift !== address[i]! >> shift) return false;
  }
  return true;
}

function isMapped(groups: Groups): boolean {
  return (
    groups.length === 8 && groups[5] === 0xffff && groups.slice(0, 5).every((one) => one === 0)
  );
}

function readGroups(text: string): Groups | null {
  if (isIPv4(text)) return groupsOfIpv4(text);
  if (!isIPv6(text)) return null;
  const [head, tail] = text.split('%', 1)[0]!.split('::');
  const before = groupsOfIpv6(head!);
  if (tail === undefined) return before;
  const after = groupsOfIpv6(tail);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  return [...before, ...zeros, ...after];
}

function groupsOfIpv4(text: string): Groups {
  const bytes = text.split('.').map(Number);
  return [bytes[0]! * 256 + bytes[1]!, bytes[2]! * 256 + bytes[3]!];
}

function groupsOfIpv6(part: string): Groups {
  if (part === '') return [];
  return part
    .split(':')
    .flatMap((group) => (group.includes('.') ? groupsOfIpv4(group) : Number.parseInt(group, 16)));
}
