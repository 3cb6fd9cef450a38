import { looksSecret, maskSecrets, maskUrl, urlHoldsSecret } from './mask.js';

const KEY = `kw_live_${'a'.repeat(16)}_${'B'.repeat(49)}`;
const encoded = (text: string): string => Buffer.from(text).toString('hex').replace(/../g, '%$&');

describe('maskUrl', () => {
  it.each([
    ['as it is', KEY],
    ['with one character encoded', KEY.replace('_', '%5f')],
    ['with the first character encoded', `%6b${KEY.slice(1)}`],
    ['encoded throughout', encoded(KEY)],
    ['encoded twice', encoded(encoded(KEY))],
    ['encoded three times', encoded(encoded(encoded(KEY)))],
  ])('shows nothing of a key %s', (_, text) => {
    expect(maskUrl(`/v1/reports?k=${text}`)).toBe('/v1/reports?k=[masked]');
    expect(maskUrl(`/v1/reports/${text}`)).toBe('/v1/reports/[masked]');
  });

  it.each([
    'password',
    'clientSecret',
    'client_secret',
    'refreshToken',
    'access_token',
    'api_key',
    'key',
  ])('shows nothing of what is told as a %s, whatever it looks like', (name) => {
    expect(maskUrl(`/v1/login?a=1&${name}=hunter2&b=2`)).toBe(`/v1/login?a=1&${name}=[masked]&b=2`);
    expect(maskUrl(`/v1/login?${encoded(name)}=hunter%32`)).toBe(`/v1/login?${name}=[masked]`);
  });

  it('leaves an address without a secret as it is', () => {
    const url = '/v1/keys?q=50%25%20off&tag=a%2Fb&keyId=password&tokens=1';
    expect(maskUrl(url)).toBe(url);
  });
});

describe('urlHoldsSecret', () => {
  it.each([
    '?q=a%26token%3Dx',
    '?q=a%26token%3Dx&limit=5',
    '?q=key%3Dx',
    '?tag=a%2526password%253Dx',
    '?q=a=1%26secret%3Dx',
  ])('takes encoded text in a value for text: %s', (query) => {
    expect(urlHoldsSecret(`/v1/keys${query}`)).toBe(false);
  });

  it.each([
    '?token=x',
    '?a=1&password=x',
    '?%74oken=x',
    `?a=1&${encoded(encoded('token'))}=x`,
    '?token%3Dx',
    '?a%3D1%26token%3Dx',
    '%3Ftoken%3Dx',
    '?to=%2Fcallback%3Faccess_token%3Dx',
    '?to=https%253A%252F%252Fx%252F%253Fa%253D1%2526token%253Dx',
    '?to=https://x/?a=1%26token%3Dx',
    `?q=a%26b%3D${KEY}`,
    `?q=${encoded(KEY)}`,
  ])('finds one in every other place: %s', (query) => {
    expect(urlHoldsSecret(`/v1/keys${query}`)).toBe(true);
    expect(maskUrl(`/v1/keys${query}`)).toMatch(/\[masked\]/);
  });
});

it('a cookie is told by what it looks like alone: names such as csrf_token are none of ours', () => {
  expect(looksSecret('a=1;csrf_token=x&token=y; b=%2F')).toBe(false);
  for (const text of [KEY, encoded(KEY)]) expect(looksSecret(`a=1; k=${text}`)).toBe(true);
});

describe('maskSecrets', () => {
  it('masks keys, refresh tokens, client secrets and JWTs wherever they stand', () => {
    const refresh = `kwr_${'c'.repeat(43)}`;
    const secret = `kws_${'d'.repeat(43)}`;
    const jwt = `eyJhbGciOiJFUzI1NiJ9.${'e'.repeat(40)}.${'f'.repeat(40)}`;
    expect(maskSecrets(`a ${KEY} b ${refresh} c ${secret} d ${jwt} e`)).toBe(
      'a [masked] b [masked] c [masked] d [masked] e',
    );
  });
});
