import { addressRange } from './address-range.js';

const messageOf = (text: string) => addressRange.safeParse(text).error?.issues[0]?.message ?? null;

describe('an address range', () => {
  it.each([
    '10.0.0.0/8',
    '10.0.0.5',
    '10.0.0.5/32',
    '0.0.0.0/0',
    '192.0.2.128/25',
    '2001:db8::/32',
    '2001:db8::1',
    '2001:db8::1/128',
    '::/0',
    '::ffff:10.0.0.0/104',
  ])('%s is one', (text) => expect(messageOf(text)).toBeNull());

  it.each([
    ['10.0.0.5/8', '10.0.0.0/8'],
    ['192.0.2.129/25', '192.0.2.128/25'],
    ['1.2.3.4/0', '0.0.0.0/0'],
    ['2001:db8::1/32', '2001:db8::/32'],
    ['2001:db8:1:2:3:4:5:6/64', '2001:db8:1:2::/64'],
    ['::ffff:10.0.0.5/104', '::ffff:a00:0/104'],
  ])('%s is refused for %s', (text, network) => expect(messageOf(text)).toContain(` ${network} `));

  it.each(['10.0.0.0/33', '10.0.0', 'localhost', '::1/129', '10.0.0.1/', ''])(
    '%s is none',
    (text) => expect(messageOf(text)).toContain('Use an address or CIDR block'),
  );
});
