import { generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto';

/** A key and a certificate for it that it signed itself, both PEM. */
export interface Certificate {
  key: string;
  cert: string;
}

const DAY_MS = 86_400_000;
const TAG = { boolean: 1, integer: 2, bits: 3, octets: 4, oid: 6, utf8: 12, time: 23 } as const;
const [SEQUENCE, SET] = [0x30, 0x31];
// object identifiers, encoded: ecdsa-with-SHA256, commonName, subjectAltName, basicConstraints
const ECDSA = '2a8648ce3d040302';
const COMMON_NAME = '550403';
const ALT_NAME = '551d11';
const CONSTRAINTS = '551d13';

/** A certificate of one's own for an address (`IP:127.0.0.1`) or a host (`DNS:host.test`), good for a day. */
export function selfSigned(name: `IP:${string}` | `DNS:${string}`): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = sequence(der(SET, sequence(oid(COMMON_NAME), der(TAG.utf8, Buffer.from('test')))));
  const algorithm = sequence(oid(ECDSA));
  const toBeSigned = sequence(
    der(0xa0, der(TAG.integer, Buffer.from([2]))),
    der(TAG.integer, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    issuer,
    sequence(timeIn(-DAY_MS), timeIn(DAY_MS)),
    issuer,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(constraints(), altName(name))),
  );
  const signature = sign('sha256', toBeSigned, privateKey);
  const whole = sequence(toBeSigned, algorithm, der(TAG.bits, Buffer.from([0]), signature));
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: new X509Certificate(whole).toString(),
  };
}

/** One element of DER: tag, length, content. */
function der(tag: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const { length } = body;
  const size = length < 128 ? [length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), body]);
}

function sequence(...parts: Buffer[]): Buffer {
  return der(SEQUENCE, ...parts);
}

function oid(hex: string): Buffer {
  return der(TAG.oid, Buffer.from(hex, 'hex'));
}

/** Two digits of the year, as is the form until 2050. */
function timeIn(ms: number): Buffer {
  const text = new Date(Date.now() + ms).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  return der(TAG.time, Buffer.from(text.slice(2)));
}

function altName(name: string): Buffer {
  const [kind, value = ''] = name.split(':');
  const bytes = kind === 'IP' ? Buffer.from(value.split('.').map(Number)) : Buffer.from(value);
  const names = sequence(der(kind === 'IP' ? 0x87 : 0x82, bytes));
  return sequence(oid(ALT_NAME), der(TAG.octets, names));
}

/** It may vouch for itself. */
function constraints(): Buffer {
  const yes = der(TAG.boolean, Buffer.from([255]));
  return sequence(oid(CONSTRAINTS), yes, der(TAG.octets, sequence(yes)));
}
