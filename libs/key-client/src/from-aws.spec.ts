import { inspect } from 'node:util';
import { loadSdk } from './aws-secrets.js';
import { fromAws, type FromAwsOptions } from './from-aws.js';
import {
  createSecretsManagerServer,
  CREDENTIALS,
  type SecretsManagerServer,
} from './testing/secrets-manager-server.js';

const secretId = 'consumers/service-b';

describe('fromAws', () => {
  let aws: SecretsManagerServer;
  const provider = (over: Partial<FromAwsOptions> = {}) =>
    fromAws({
      ...{ secretId, endpoint: aws.url, region: 'eu-central-1', credentials: CREDENTIALS },
      ...over,
    });
  beforeEach(async () => {
    aws = await createSecretsManagerServer();
  });
  afterEach(() => aws.close());

  it('reads the current version, or the one before it, with signed requests', async () => {
    aws.put(secretId, 'old');
    aws.put(secretId, ' new\n');
    const one = provider();
    expect(one.refreshedAt()).toBeNull();
    await expect(Promise.all([one.read(), one.read()])).resolves.toEqual(['new', 'new']);
    await expect(provider({ stage: 'AWSPREVIOUS' }).read()).resolves.toBe('old');
    expect(aws.seen).toEqual(['GetSecretValue', 'GetSecretValue']);
    expect([one.source, one.refreshedAt()]).toEqual(['aws', expect.any(Date)]);
    expect(one.place).toBe(`secret ${secretId} (AWSCURRENT) in AWS Secrets Manager`);
    const other = { ...CREDENTIALS, secretAccessKey: 'another' };
    await expect(provider({ credentials: other }).read()).rejects.toMatchObject({
      name: 'SecretStoreError',
      isRefusal: true,
    });
  });

  it('reads a member of a secret that is JSON, and a secret that is bytes', async () => {
    aws.put(secretId, JSON.stringify({ key: 'good', port: 7 }));
    await expect(provider({ field: 'key' }).read()).resolves.toBe('good');
    await expect(provider({ field: 'other' }).read()).resolves.toBeNull();
    await expect(provider({ field: 'port' }).read()).rejects.toThrow('is not text');
    aws.put(secretId, 'no JSON');
    await expect(provider({ field: 'key' }).read()).rejects.toThrow('not a JSON object');
    aws.put(secretId, Buffer.from('bytes'));
    await expect(provider().read()).resolves.toBe('bytes');
  });

  it('finds nothing where there is no secret or no version before', async () => {
    await expect(provider().read()).resolves.toBeNull();
    aws.put(secretId, 'only');
    await expect(provider({ stage: 'AWSPREVIOUS' }).read()).resolves.toBeNull();
  });

  it('keeps its key through an outage, and says so', async () => {
    aws.put(secretId, 'good');
    const heard: unknown[] = [];
    const one = provider({ onError: (error) => heard.push(error) });
    await one.read();
    aws.failing = { name: 'InternalServiceError', status: 500 };
    await expect(one.read({ fresh: true })).resolves.toBe('good');
    expect(heard).toEqual([
      expect.objectContaining({ name: 'SecretStoreError', isRefusal: false }),
    ]);
    aws.failing = { name: 'AccessDeniedException', status: 400 };
    await expect(provider().read()).rejects.toMatchObject({ isRefusal: true });
    await expect(provider({ endpoint: 'http://127.0.0.1:1' }).read()).rejects.toMatchObject({
      isRefusal: false,
    });
  });

  it('writes the current version, and makes the secret where there is none', async () => {
    const { version } = await provider().write('first');
    expect(version).toBe(aws.secrets.get(secretId)?.at(-1)?.VersionId);
    expect(aws.seen).toEqual(['PutSecretValue', 'CreateSecret']);
    await provider().write('second');
    await expect(provider().read()).resolves.toBe('second');
    await expect(provider({ stage: 'AWSPREVIOUS' }).read()).resolves.toBe('first');
  });

  it('leaves the other members of a secret that is JSON as they are', async () => {
    await provider({ field: 'key' }).write('first');
    aws.put(secretId, JSON.stringify({ key: 'first', note: 'keep' }));
    await provider({ field: 'key' }).write('second');
    const { SecretString } = aws.secrets.get(secretId)!.at(-1)!;
    expect(JSON.parse(SecretString!)).toEqual({ key: 'second', note: 'keep' });
    aws.put(secretId, 'a password of somebody');
    await expect(provider({ field: 'key' }).write('x')).rejects.toThrow('not a JSON object');
  });

  it('says what to install where the SDK is missing', async () => {
    const missing = '@aws-sdk/client-of-nothing';
    await expect(loadSdk(() => import(missing))).rejects.toThrow(
      'npm install @aws-sdk/client-secrets-manager',
    );
  });

  it('shows neither key nor credentials to who prints it or its errors', async () => {
    aws.put(secretId, 's3cret');
    const one = provider();
    await one.read();
    aws.failing = { name: 'DecryptionFailure', status: 400 };
    const error: unknown = await one.write('s3cret').catch((caught: unknown) => caught);
    expect(error).toMatchObject({ name: 'SecretStoreError', isRefusal: true });
    for (const shown of [one, error]) {
      const texts = [inspect(shown, { depth: 9, showHidden: true }), JSON.stringify(shown)];
      for (const secret of ['s3cret', ...Object.values(CREDENTIALS)])
        expect(texts.join()).not.toContain(secret);
    }
  });
});
