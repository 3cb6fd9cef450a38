import { createHash, createHmac, pbkdf2Sync, scryptSync } from 'node:crypto';
import * as argon2 from 'argon2';
import { hashSync } from 'bcryptjs';
import * as fc from 'fast-check';
import { legacyScheme, type LegacyScheme } from '#contracts';
import { fastDigest, isFast, readFastDigest, type FastAlgorithm } from './fast-hash.js';
import { portableDigestOfText } from '../export/portable-digest.js';
import { fitsShape, hashedPart, locatorIn } from './presented.js';
import { readSlowHash, type SlowAlgorithm } from './slow-hash.js';
import { matchesSlowHash } from './slow-match.js';
import { isWeak } from './weak.js';

type Fast = LegacyScheme & { algorithm: FastAlgorithm };
const schemeOf = (given: object): LegacyScheme =>
  legacyScheme.parse({ algorithm: 'sha256', ...given });
const KEY = 'pk_live.8f2c1a90.Zm9vYmFyYmF6cXV4cXV1eA';
const SALT = Buffer.from('0123456789abcdef');
const b64 = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');

const scrypt = (part: string, ln: number, r = 8, p = 1) =>
  `$scrypt$ln=${ln},r=${r},p=${p}$${b64(SALT)}$${b64(scryptSync(part, SALT, 32, { N: 2 ** ln, r, p }))}`;
/** Salt and digest of a hash whose cost alone matters. */
const body = `${b64(SALT)}$${b64(Buffer.alloc(32))}`;
const pbkdf2 = (part: string, iterations: number, salt: Buffer | string = SALT) =>
  pbkdf2Sync(part, salt, iterations, 32, 'sha256');

describe('the part of a key that was hashed', () => {
  it.each([
    [{ kind: 'whole' }, KEY],
    [{ kind: 'after', separator: '.', count: 1 }, '8f2c1a90.Zm9vYmFyYmF6cXV4cXV1eA'],
    [{ kind: 'after', separator: '.', count: 2 }, 'Zm9vYmFyYmF6cXV4cXV1eA'],
    [{ kind: 'after', separator: '.', count: 3 }, null],
    [{ kind: 'without', prefix: 'pk_live.' }, '8f2c1a90.Zm9vYmFyYmF6cXV4cXV1eA'],
    [{ kind: 'without', prefix: 'sk_' }, null],
    [{ kind: 'without', prefix: KEY }, null],
  ])('with %j is %s', (segment, part) => {
    expect(hashedPart(schemeOf({ segment }), KEY)).toBe(part);
  });

  it.each([
    [{ kind: 'part', separator: '.', index: 1 }, '8f2c1a90'],
    [{ kind: 'part', separator: '.', index: 2 }, null],
    [{ kind: 'part', separator: '-', index: 0 }, null],
    [{ kind: 'start', length: 12 }, 'pk_live.8f2c'],
    [{ kind: 'start', length: KEY.length }, null],
  ])('and what tells it apart with %j is %s', (locator, found) => {
    expect(locatorIn(schemeOf({ algorithm: 'bcrypt', locator }), KEY)).toBe(found);
  });

  it('is looked for only where the text looks as keys of the import do', () => {
    const scheme = schemeOf({ shape: { prefix: 'pk_', minLength: 10, maxLength: 60 } });
    expect(fitsShape(scheme, KEY)).toBe(true);
    for (const junk of [
      'pk_',
      'sk_live.8f2c1a90',
      `pk_${'a'.repeat(58)}`,
      'pk_live 8f2c',
      'pk_éééééééé',
    ])
      expect(fitsShape(scheme, junk)).toBe(false);
  });
});

describe('a digest without a salt', () => {
  it('is read in each encoding, and in no other spelling', () => {
    fc.assert(
      fc.property(fc.constantFrom('hex', 'base64', 'base64url'), fc.string(), (encoding, text) => {
        const scheme = schemeOf({ encoding }) as Fast;
        const digest = createHash('sha256').update(text).digest();
        expect(readFastDigest(scheme, digest.toString(encoding))).toEqual(digest);
        expect(readFastDigest(scheme, `${digest.toString(encoding)}A`)).toBeNull();
        expect(readFastDigest(scheme, digest.subarray(1).toString(encoding))).toBeNull();
      }),
    );
    const hex = createHash('sha512').update(KEY).digest('hex');
    const scheme = schemeOf({ algorithm: 'sha512' }) as Fast;
    expect(readFastDigest(scheme, hex.toUpperCase())).toEqual(Buffer.from(hex, 'hex'));
    expect(readFastDigest(scheme, 'z'.repeat(128))).toBeNull();
  });

  it('is what the other platform computed', () => {
    const key = Buffer.alloc(32, 7);
    const given = { algorithm: 'hmac-sha256', key: key.toString('base64'), context: 'v1.' };
    const mac = createHmac('sha256', key).update(`v1.${KEY}`).digest();
    expect(fastDigest(schemeOf(given) as Fast, KEY)).toEqual(mac);
    const local = { algorithm: 'keyward-local', key: key.toString('base64') };
    const own = portableDigestOfText(key, KEY);
    expect(fastDigest(schemeOf(local) as Fast, KEY)).toEqual(own);
    const sha = createHash('sha512').update(KEY).digest();
    expect(fastDigest(schemeOf({ algorithm: 'sha512' }) as Fast, KEY)).toEqual(sha);
    expect(isFast(schemeOf({ algorithm: 'sha512' }))).toBe(true);
  });
});

describe('a salted hash', () => {
  const hashes: [string, SlowAlgorithm, () => string | Promise<string>][] = [
    ['bcrypt', 'bcrypt', () => hashSync(KEY, 8)],
    ['argon2id', 'argon2id', () => argon2.hash(KEY, { memoryCost: 1_024, timeCost: 1 })],
    ['scrypt', 'scrypt', () => scrypt(KEY, 10)],
    [
      'PBKDF2 as PHC',
      'pbkdf2',
      () => `$pbkdf2-sha256$i=1000,l=32$${b64(SALT)}$${b64(pbkdf2(KEY, 1_000))}`,
    ],
    [
      'PBKDF2 of passlib',
      'pbkdf2',
      () => `$pbkdf2-sha256$1000$${b64(SALT)}$${b64(pbkdf2(KEY, 1_000)).replaceAll('+', '.')}`,
    ],
    [
      'PBKDF2 of Django',
      'pbkdf2',
      () => `pbkdf2_sha256$1000$saltsalt$${pbkdf2(KEY, 1_000, 'saltsalt').toString('base64')}`,
    ],
  ];

  it.each(hashes)('by %s is that of its key and of no other', async (_, algorithm, make) => {
    const hash = await make();
    await expect(matchesSlowHash({ algorithm, hash, part: KEY })).resolves.toBe(true);
    for (const part of [`${KEY}x`, KEY.slice(1), '', KEY.toUpperCase()])
      await expect(matchesSlowHash({ algorithm, hash, part })).resolves.toBe(false);
  });

  it('by bcrypt is never that of a key as long as all that bcrypt reads, nor of its beginning', async () => {
    const long = 'k'.repeat(72);
    const hash = hashSync(`${long}tail`, 8);
    const ask = (part: string) => matchesSlowHash({ algorithm: 'bcrypt', hash, part });
    await expect(ask(`${long}tail`)).resolves.toBe(false);
    await expect(ask(`${long}other`)).resolves.toBe(false);
    await expect(ask(long)).resolves.toBe(false);
  });

  it.each(['sha256-hex', 'sha512-base64'] as const)(
    'by bcrypt of %s of the key is that of the whole key',
    async (preHashed) => {
      const long = 'k'.repeat(100);
      const [algorithm, encoding] = preHashed.split('-') as [string, 'hex' | 'base64'];
      const hash = hashSync(createHash(algorithm).update(long).digest(encoding), 8);
      const ask = (part: string) => matchesSlowHash({ algorithm: 'bcrypt', hash, part, preHashed });
      await expect(ask(long)).resolves.toBe(true);
      await expect(ask(`${long.slice(1)}x`)).resolves.toBe(false);
    },
  );

  it.each([
    ['bcrypt', hashSync(KEY, 8).replace('$08$', '$07$')],
    ['bcrypt', hashSync(KEY, 8).replace('$08$', '$15$')],
    ['bcrypt', '$2x$10$abc'],
    ['argon2id', `$argon2id$v=19$m=65537,t=2,p=1$${body}`],
    ['argon2id', `$argon2id$v=19$m=65536,t=11,p=1$${body}`],
    ['argon2id', `$argon2id$v=19$m=65536,t=2,p=5$${body}`],
    ['argon2id', `$argon2i$v=19$m=65536,t=2,p=1$${body}`],
    ['argon2id', `$argon2id$v=19$m=4,t=2,p=1$${body}`],
    ['scrypt', `$scrypt$ln=18,r=8,p=1$${body}`],
    ['scrypt', `$scrypt$ln=0,r=8,p=1$${body}`],
    ['scrypt', `$scrypt$ln=15,r=17,p=1$${body}`],
    ['scrypt', `$scrypt$ln=15,r=8,p=5$${body}`],
    ['pbkdf2', `$pbkdf2-sha256$i=2000001$${body}`],
    ['pbkdf2', `$pbkdf2-md5$i=1000$${body}`],
    ['pbkdf2', `$pbkdf2-sha256$i=1000$${b64(Buffer.alloc(400))}$${b64(Buffer.alloc(32))}`],
  ] as const)('by %s beyond the bounds is neither read nor computed', async (algorithm, hash) => {
    expect(typeof readSlowHash(algorithm, hash)).toBe('string');
    expect(readSlowHash(algorithm, hash)).not.toContain(b64(SALT));
    await expect(matchesSlowHash({ algorithm, hash, part: KEY })).resolves.toBe(false);
  });

  it('of any text is refused in words, never with an exception', () => {
    const algorithms = fc.constantFrom('bcrypt', 'argon2id', 'scrypt', 'pbkdf2');
    fc.assert(
      fc.property(algorithms, fc.string({ maxLength: 600 }), (algorithm, text) => {
        expect(typeof readSlowHash(algorithm, text)).toBe('string');
      }),
    );
  });
});

describe('a scheme', () => {
  const locator = { kind: 'start', length: 8 };
  it.each([
    [{ algorithm: 'bcrypt' }],
    [{ algorithm: 'sha256', locator }],
    [{ algorithm: 'hmac-sha256' }],
    [{ algorithm: 'sha256', key: Buffer.alloc(32, 1).toString('base64') }],
    [{ algorithm: 'hmac-sha256', key: Buffer.alloc(8, 1).toString('base64') }],
    [{ algorithm: 'argon2id', locator, preHashed: 'sha256-hex' }],
    [{ algorithm: 'sha256', context: 'v1' }],
    [{ algorithm: 'md5' }],
    [{ algorithm: 'sha256', shape: { minLength: 20, maxLength: 10 } }],
  ])('that does not say what it needs is refused: %j', (given) => {
    expect(legacyScheme.safeParse(given).success).toBe(false);
  });

  it('is weak where a fast hash is of a secret that may be guessed', () => {
    const hash = createHash('sha256').update(KEY).digest('hex');
    expect(isWeak(schemeOf({}), hash, undefined)).toBe(true);
    expect(isWeak(schemeOf({}), hash, 64)).toBe(true);
    expect(isWeak(schemeOf({}), hash, 128)).toBe(false);
    const key = Buffer.alloc(32, 1).toString('base64');
    expect(isWeak(schemeOf({ algorithm: 'hmac-sha256', key }), hash, undefined)).toBe(false);
    expect(isWeak(schemeOf({ algorithm: 'hmac-sha256', key }), hash, 40)).toBe(true);
  });

  it.each([
    ['bcrypt', hashSync(KEY, 8), false],
    ['argon2id', `$argon2id$v=19$m=8,t=1,p=1$${body}`, true],
    ['argon2id', `$argon2id$v=19$m=8959,t=1,p=1$${body}`, true],
    ['argon2id', `$argon2id$v=19$m=4480,t=2,p=1$${body}`, false],
    ['argon2id', `$argon2id$v=19$m=19456,t=2,p=1$${body}`, false],
    ['scrypt', `$scrypt$ln=1,r=8,p=1$${body}`, true],
    ['scrypt', `$scrypt$ln=14,r=8,p=1$${body}`, true],
    ['scrypt', `$scrypt$ln=15,r=8,p=1$${body}`, false],
    ['pbkdf2', `$pbkdf2-sha256$i=1$${body}`, true],
    ['pbkdf2', `$pbkdf2-sha256$i=149999$${body}`, true],
    ['pbkdf2', `$pbkdf2-sha256$i=150000$${body}`, false],
    ['pbkdf2', `$pbkdf2-sha512$i=52499$${body}`, true],
    ['pbkdf2', `$pbkdf2-sha512$i=52500$${body}`, false],
    ['pbkdf2', `$pbkdf2-sha1$i=324999$${body}`, true],
    ['pbkdf2', `$pbkdf2-sha1$i=325000$${body}`, false],
  ] as const)(
    'is weak where %s costs too little for a secret that may be guessed: %s',
    (algorithm, hash, isCheap) => {
      const scheme = schemeOf({ algorithm, locator });
      expect(isWeak(scheme, hash, undefined)).toBe(isCheap);
      expect(isWeak(scheme, hash, 111)).toBe(isCheap);
      expect(isWeak(scheme, hash, 112)).toBe(false);
    },
  );
});
