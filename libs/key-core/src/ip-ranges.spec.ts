import { BlockList } from 'node:net';
import * as fc from 'fast-check';
import { inRanges } from './ip-ranges.js';

describe('inRanges', () => {
  it.each([
    ['10.0.0.0/8', '10.255.255.255', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['10.1.2.3/8', '10.9.9.9', true],
    ['192.0.2.7', '192.0.2.7', true],
    ['192.0.2.7', '192.0.2.8', false],
    ['192.0.2.6/31', '192.0.2.7', true],
    ['192.0.2.6/31', '192.0.2.8', false],
    ['192.0.2.0/25', '192.0.2.127', true],
    ['192.0.2.0/25', '192.0.2.128', false],
    ['0.0.0.0/0', '255.255.255.255', true],
    ['2001:db8::/32', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', true],
    ['2001:db8::/32', '2001:db9::', false],
    ['2001:db8::/33', '2001:db8:8000::', false],
    ['2001:db8::1', '2001:0DB8:0:0:0:0:0:1', true],
    ['::1', '::1', true],
    ['::1/128', '::2', false],
    ['fe80::/10', 'fe80::1%eth0', true],
    ['64:ff9b::/96', '64:ff9b::192.0.2.33', true],
  ])('%s and %s: %s', (range, ip, expected) => {
    expect(inRanges([range], ip)).toBe(expected);
  });

  it('takes a mapped address as its IPv4, in every spelling', () => {
    const spellings = [
      '::ffff:10.1.2.3',
      '::FFFF:10.1.2.3',
      '::ffff:a01:203',
      '0:0:0:0:0:ffff:0a01:0203',
      '0000::ffff:10.1.2.3',
    ];
    for (const ip of spellings) {
      expect(inRanges(['10.0.0.0/8'], ip)).toBe(true);
      expect(inRanges(['11.0.0.0/8'], ip)).toBe(false);
      expect(inRanges(['::ffff:10.0.0.0/104'], ip)).toBe(true);
      expect(inRanges(['::/0', '::ffff:0:0/95'], ip)).toBe(false);
    }
    expect(inRanges(['::ffff:10.0.0.0/104'], '10.1.2.3')).toBe(true);
    expect(inRanges(['::ffff:0:0/96'], '10.1.2.3')).toBe(true);
  });

  it('keeps the two families apart', () => {
    expect(inRanges(['::/0'], '10.1.2.3')).toBe(false);
    expect(inRanges(['0.0.0.0/0'], '2001:db8::1')).toBe(false);
    expect(inRanges(['10.1.2.3'], '::10.1.2.3')).toBe(false);
  });

  it.each([
    '',
    ' ',
    'localhost',
    '10.1.2',
    '10.1.2.3.4',
    '010.1.2.3',
    '10.1.2.3 ',
    '10.1.2.256',
    '0xa010203',
    '167837955',
    '10.1.2.3, 10.1.2.3',
    ':::',
    '1::2::3',
    '10.1.2.3:443',
    '[::1]',
    '::ffff:10.1.2.3/104',
  ])('finds the address %j in no range', (ip) => {
    expect(inRanges(['0.0.0.0/0', '::/0'], ip)).toBe(false);
  });

  it.each([
    '',
    '/',
    '/8',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/8.0',
    '10.0.0.0/ 8',
    '10.0.0.0/8/8',
    '10.0.0.0/255.0.0.0',
    '::/129',
    '::ffff:10.0.0.0/129',
    '10.*',
    '*',
  ])('finds no address in the range %j, and goes on with the next', (range) => {
    expect(inRanges([range], '10.0.0.0')).toBe(false);
    expect(inRanges([range, '10.0.0.0'], '10.0.0.0')).toBe(true);
  });

  it('finds nothing in an empty list', () => {
    expect(inRanges([], '10.1.2.3')).toBe(false);
  });

  it('agrees with the block list of Node', () => {
    // Few bits differ, so that near misses are as usual as hits.
    const near = (width: number) =>
      fc.tuple(
        fc.bigInt({ min: 0n, max: 2n ** BigInt(width) - 1n }),
        fc.nat({ max: width - 1 }),
        fc.nat({ max: width }),
      );
    fc.assert(
      fc.property(near(32), near(128), ([v4, flip4, bits4], [v6, flip6, bits6]) => {
        // A list for each family: Node's takes an IPv4 address for its mapped form, and so finds it in ::/0.
        const [list4, list6] = [new BlockList(), new BlockList()];
        list4.addSubnet(ipv4Of(v4), bits4, 'ipv4');
        list6.addSubnet(ipv6Of(v6), bits6, 'ipv6');
        const ranges = [`${ipv4Of(v4)}/${bits4}`, `${ipv6Of(v6)}/${bits6}`];
        const other4 = ipv4Of(v4 ^ (1n << BigInt(flip4)));
        const other6 = ipv6Of(v6 ^ (1n << BigInt(flip6)));
        expect(inRanges(ranges, other4)).toBe(list4.check(other4, 'ipv4'));
        expect(inRanges(ranges, `::ffff:${other4}`)).toBe(list4.check(other4, 'ipv4'));
        expect(inRanges(ranges, other6)).toBe(list6.check(other6, 'ipv6'));
      }),
      { numRuns: 1_000 },
    );
  });

  it('reads every spelling of an address alike', () => {
    fc.assert(
      fc.property(fc.ipV6(), (ip) => {
        const plain = new URL(`http://[${ip}]/`).hostname.slice(1, -1);
        expect(inRanges([ip], plain)).toBe(true);
        expect(inRanges([plain], ip.toUpperCase())).toBe(true);
      }),
    );
  });
});

function ipv4Of(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join('.');
}

function ipv6Of(value: bigint): string {
  return value.toString(16).padStart(32, '0').match(/.{4}/g)!.join(':');
}
