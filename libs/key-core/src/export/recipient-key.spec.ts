import { diffieHellman, generateKeyPairSync, createPublicKey } from 'node:crypto';
import { createExportBody } from '#contracts';

const SPKI = Buffer.from('302a300506032b656e032100', 'hex');
const PRIME = 2n ** 255n - 19n;
const ORDER_8 = [
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
];

const littleEndian = (number: bigint): Buffer =>
  Buffer.from(number.toString(16).padStart(64, '0'), 'hex').reverse();
const withHighBit = (key: Buffer): Buffer => Buffer.from([...key.subarray(0, 31), key[31]! | 0x80]);
const faultsOf = (recipientKey: string): string[] => {
  const { error } = createExportBody.safeParse({ service: 'service-a', recipientKey });
  return error?.issues.map(({ path, message }) => `/${path.join('/')}: ${message}`) ?? [];
};
const derives = (key: Buffer): boolean => {
  const { privateKey } = generateKeyPairSync('x25519');
  const der = Buffer.concat([SPKI, key]);
  try {
    diffieHellman({
      privateKey,
      publicKey: createPublicKey({ key: der, format: 'der', type: 'spki' }),
    });
    return true;
  } catch {
    return false;
  }
};

it('a recipientKey is refused exactly where no secret can be derived from it', () => {
  const low = [0n, 1n, PRIME - 1n, PRIME, PRIME + 1n].map(littleEndian);
  const keys = [...low, ...ORDER_8.map((hex) => Buffer.from(hex, 'hex'))];
  for (const key of [...keys, ...keys.map(withHighBit)]) {
    expect(derives(key)).toBe(false);
    expect(faultsOf(key.toString('base64url'))).toEqual([
      expect.stringMatching(/^\/recipientKey: Use the public key of a new X25519 pair/),
    ]);
  }
  for (const key of [2n, 9n, PRIME - 2n, PRIME + 2n, PRIME + 18n].map(littleEndian)) {
    expect(derives(key)).toBe(true);
    expect(faultsOf(key.toString('base64url'))).toEqual([]);
  }
});

it.each([
  ['stray bits in its last character', `${'A'.repeat(42)}B`],
  ['the alphabet of plain base64', `${'A'.repeat(41)}+A`],
  ['padding', `${'A'.repeat(43)}=`],
  ['31 bytes', 'A'.repeat(42)],
  ['nothing', ''],
])('a recipientKey with %s is refused, and told what is right', (_what, key) => {
  expect(faultsOf(key)).toEqual([
    '/recipientKey: Use 32 bytes as 43 characters of base64url without padding',
  ]);
});
