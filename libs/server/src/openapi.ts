import type { DynamicModule, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { OpenAPIObject } from '@nestjs/swagger';
import { z } from 'zod';
import { problem } from '#contracts';
import { applyTo } from './api-decorators.js';
import { addProblemAnswers } from './problem-answers.js';

/** What an app says of itself, and routes that are not Nest controllers. */
export interface OpenApiOptions {
  /** Of its document in `docs/api`, without `.json`. */
  name: string;
  title: string;
  description: string;
  /** Adds what decorators cannot know. */
  complete?: (document: OpenAPIObject) => void;
}

/**
 * OpenAPI 3.1 of an app, from its controllers and the zod schemas that validate their requests. Same code, same text: paths are
 * sorted. Nothing of the app is made or connected.
 */
export async function createOpenApi(
  module: Type | DynamicModule,
  options: OpenApiOptions,
): Promise<OpenAPIObject> {
  const swagger = await import('@nestjs/swagger');
  applyTo(swagger);
  const app = await NestFactory.create<NestFastifyApplication>(module, new FastifyAdapter(), {
    preview: true,
    logger: false,
    abortOnError: false,
  });
  const builder = new swagger.DocumentBuilder()
    .setTitle(options.title)
    .setDescription(options.description)
    .setVersion('1')
    .setOpenAPIVersion('3.1.0')
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }, 'bearer')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'x-api-key' }, 'apiKey');
  const document = swagger.SwaggerModule.createDocument(app, builder.build(), {
    standardSchemaConverter: (schema, { schemaType }) =>
      toOpenApiSchema(schema as z.ZodType, schemaType),
  });
  options.complete?.(document);
  dropUnusedSchemes(document);
  addProblems(document);
  document.paths = Object.fromEntries(
    Object.entries(document.paths).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
  return inDocument(document);
}

/** A zod schema as JSON Schema 2020-12, which OpenAPI 3.1 uses; schemas with an `id` become components. */
export function toOpenApiSchema(schema: z.ZodType, io: 'input' | 'output') {
  const {
    $defs = {},
    $schema: _,
    ...own
  } = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    io,
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      delete jsonSchema['~standard'];
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
    },
  });
  return { schema: own, components: $defs } as never;
}

/** A schema as it is named in a document, to whose components it is added where it has an `id`, as are those that it names. */
export function describeSchema(
  document: OpenAPIObject,
  schema: z.ZodType,
  io: 'input' | 'output',
): object {
  const converted = toOpenApiSchema(schema, io) as {
    schema: object;
    components: Record<string, object>;
  };
  document.components = {
    ...document.components,
    schemas: { ...document.components?.schemas, ...converted.components },
  };
  return converted.schema;
}

/** A route outside Nest's controllers, as {@link describeRoute} adds it. */
export interface DescribedRoute {
  method: 'get' | 'post';
  path: string;
  tag: string;
  summary: string;
  body?: z.ZodType;
  /** `mediaType` is JSON unless it is named. */
  answer: { status: number; description: string; schema: z.ZodType; mediaType?: string };
}

/** Adds a route that is not a Nest controller to a document. */
export function describeRoute(document: OpenAPIObject, route: DescribedRoute): void {
  const told = (schema: z.ZodType, io: 'input' | 'output', mediaType = 'application/json') => ({
    [mediaType]: { schema: describeSchema(document, schema, io) },
  });
  const { status, description, schema, mediaType } = route.answer;
  const operation = {
    tags: [route.tag],
    summary: route.summary,
    security: [{ bearer: [] }],
    ...(route.body && { requestBody: { required: true, content: told(route.body, 'input') } }),
    responses: { [status]: { description, content: told(schema, 'output', mediaType) } },
  };
  document.paths[route.path] = { ...document.paths[route.path], [route.method]: operation };
}

/** The same with the references of each schema pointing into the document's components. */
function inDocument(document: OpenAPIObject): OpenAPIObject {
  return JSON.parse(
    JSON.stringify(document).replaceAll('"#/$defs/', '"#/components/schemas/'),
  ) as OpenAPIObject;
}

/** An app says only what it knows: login, for one, has no notion of API keys. */
function dropUnusedSchemes(document: OpenAPIObject): void {
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path));
  const used = new Set(
    operations
      .flatMap((operation) => (operation as { security?: object[] }).security ?? [])
      .flatMap(Object.keys),
  );
  const schemes = Object.entries(document.components?.securitySchemes ?? {});
  document.components = {
    ...document.components,
    securitySchemes: Object.fromEntries(schemes.filter(([name]) => used.has(name))),
  };
}

function addProblems(document: OpenAPIObject): void {
  describeSchema(document, problem, 'output');
  const content = {
    'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
  };
  addProblemAnswers(document, content);
}
