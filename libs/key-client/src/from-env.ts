import type { SecretProvider } from './secret-provider.js';

/** The key in variable `name` of `variables`, such as an app's checked settings; `process.env` by default. */
export function fromEnv(
  name: string,
  variables: Readonly<Record<string, unknown>> = process.env,
): SecretProvider {
  let readAt: Date | null = null;
  return {
    source: 'env',
    place: `the environment variable ${name}`,
    lack: () => (variables[name] === undefined ? 'is not set' : 'is empty'),
    read: () => {
      const value = variables[name];
      const text = typeof value === 'string' ? value.trim() : '';
      if (text !== '') readAt ??= new Date();
      return Promise.resolve(text === '' ? null : text);
    },
    refreshedAt: () => readAt,
  };
}
