import { createReadStream, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { FastifyInstance } from 'fastify';

const DOCUMENTS = new URL('../../../../docs/api/', import.meta.url);
const { resolve } = createRequire(import.meta.url);

/** The page of a document; its parts are where its links lead from `/docs`. */
const pageOf = (name: string): string => `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <title>Keyward ${name}</title>
    <link rel="icon" href="./docs/favicon-32x32.png" />
    <link rel="stylesheet" href="./docs/swagger-ui.css" />
  </head>
  <body>
    <div id="page"></div>
    <script src="./docs/swagger-ui-bundle.js"></script>
    <script src="./docs/start.js"></script>
  </body>
</html>
`;

const START = `SwaggerUIBundle({ url: './openapi.json', dom_id: '#page', deepLinking: true });\n`;

/** Parts of the page that Swagger UI brings, with their types. */
const PARTS = {
  'favicon-32x32.png': 'image/png',
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
};

/**
 * Serves the OpenAPI document `docs/api/<name>.json` at `/openapi.json`, and at `/docs` a page to read it on. The document was
 * made from the same controllers and schemas beforehand, as to make it costs a fifth of a start, and memory for good.
 *
 * @throws Error ENOENT where the document is not there
 */
export function serveDocuments(fastify: FastifyInstance, name: string): void {
  const document = readFileSync(documentAt(name));
  fastify.get('/openapi.json', (_request, reply) => reply.type('application/json').send(document));
  fastify.get('/docs', (_request, reply) =>
    reply.type('text/html; charset=utf-8').send(pageOf(name)),
  );
  // its links are relative to `/docs`, and so is this, as what stands before the service may add to the address
  fastify.get('/docs/', (_request, reply) => reply.redirect('../docs', 308));
  fastify.get('/docs/start.js', (_request, reply) =>
    reply.type('text/javascript; charset=utf-8').send(START),
  );
  for (const [part, type] of Object.entries(PARTS))
    fastify.get(`/docs/${part}`, (_request, reply) =>
      reply.type(type).send(createReadStream(resolve(`swagger-ui-dist/${part}`))),
    );
}

/** Where the OpenAPI document of an app is. */
export function documentAt(name: string): URL {
  return new URL(`${name}.json`, DOCUMENTS);
}
