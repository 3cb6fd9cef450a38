import type { Scene, ServiceName } from './scene.js';
import { SERVICE_NAMES } from './scene.js';

/** A JSON Schema, as far as these tests look into it. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  maxLength?: number;
}

/** A route of a service, as its OpenAPI document tells of it. */
export interface Route {
  service: ServiceName;
  method: string;
  /** Path with its parameters in braces. */
  template: string;
  /** What opens it. */
  access: 'bearer' | 'apiKey' | 'client' | 'anyone';
  /** Media type of its body, null where it takes none. */
  takes: string | null;
  /** Schema of its body, references resolved at the top. */
  body: Schema;
  /** Names of its query parameters. */
  query: string[];
  /** Follows references of its document. */
  resolve: (schema: Schema) => Schema;
}

interface Operation {
  security?: Record<string, unknown>[];
  parameters?: { in: string; name: string }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

/** Every route of every service. */
export async function routesOf(scene: Scene): Promise<Route[]> {
  const documents = await Promise.all(
    SERVICE_NAMES.map((service) => scene.tell(service, '/openapi.json')),
  );
  return SERVICE_NAMES.flatMap((service, index) => {
    const document = documents[index]!.body as Document;
    return Object.entries(document.paths).flatMap(([template, operations]) =>
      Object.entries(operations).map(([method, operation]) =>
        routeOf(document, operation, { service, template, method: method.toUpperCase() }),
      ),
    );
  });
}

function routeOf(
  document: Document,
  { security = [], parameters = [], requestBody }: Operation,
  names: Pick<Route, 'service' | 'method' | 'template'>,
): Route {
  const resolve = (schema: Schema): Schema => {
    if (schema.$ref === undefined) return schema;
    return resolve(document.components.schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {});
  };
  const [takes, content] = Object.entries(requestBody?.content ?? {})[0] ?? [null, { schema: {} }];
  const access = (Object.keys(security[0] ?? {})[0] ?? 'anyone') as Route['access'];
  return {
    ...names,
    access,
    takes,
    body: resolve(content.schema),
    query: parameters.filter((one) => one.in === 'query').map((one) => one.name),
    resolve,
  };
}

/** Values of each JSON type, for trying those that a property does not take. */
const OF_TYPE: Record<string, unknown> = {
  null: null,
  boolean: true,
  integer: 7,
  number: 1.5,
  string: '7',
  array: ['7'],
  object: { a: '7' },
};

/** For each property of a body the values of types that it does not take: `[name, value]`. */
export function wronglyTyped({ body, resolve }: Route): [string, unknown][] {
  return Object.entries(body.properties ?? {}).flatMap(([name, schema]) => {
    const types = typesOf(schema, resolve);
    // Whatever is not known may be anything.
    if (types.size === 0) return [];
    const wrong = Object.keys(OF_TYPE).filter((type) => !types.has(type));
    return wrong.map((type): [string, unknown] => [name, OF_TYPE[type]]);
  });
}

/** Names of the properties of a body that take a string. */
export function stringsOf({ body, resolve }: Route): string[] {
  return Object.entries(body.properties ?? {})
    .filter(([, schema]) => typesOf(schema, resolve).has('string'))
    .map(([name]) => name);
}

function typesOf(given: Schema, resolve: Route['resolve']): Set<string> {
  const schema = resolve(given);
  const alternatives = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  const own = [schema.type ?? []].flat();
  const values = [...(schema.enum ?? []), ...('const' in schema ? [schema.const] : [])];
  const types = new Set([
    ...own,
    ...values.map((value) => (value === null ? 'null' : typeof value)),
    ...alternatives.flatMap((one) => [...typesOf(one, resolve)]),
  ]);
  if (types.has('number')) types.add('integer');
  return types;
}
