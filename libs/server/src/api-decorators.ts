type Swagger = typeof import('@nestjs/swagger');
type Target = Parameters<MethodDecorator>;

/** What was told of controllers and not yet written down as `@nestjs/swagger` has it. */
const told: ((swagger: Swagger) => void)[] = [];

type Name =
  | 'ApiBasicAuth'
  | 'ApiConsumes'
  | 'ApiHeader'
  | 'ApiOperation'
  | 'ApiResponse'
  | 'ApiSecurity'
  | 'ApiTags';

/** The decorator of that name, which a service that only serves need not load `@nestjs/swagger` for. */
function later<N extends Name>(name: N): Swagger[N] {
  const decoratorOf =
    (...words: unknown[]) =>
    (...target: Target) => {
      told.push((swagger) => {
        const make = swagger[name] as (...words: unknown[]) => (...target: Target) => void;
        make(...words)(...target);
      });
    };
  return decoratorOf as unknown as Swagger[N];
}

/** As in `@nestjs/swagger`; heeded where a document is made, see {@link applyTo}. */
export const ApiBasicAuth = later('ApiBasicAuth');
/** As in `@nestjs/swagger`; heeded where a document is made, see {@link applyTo}. */
export const ApiConsumes = later('ApiConsumes');
/** As in `@nestjs/swagger`; heeded where a document is made, see {@link applyTo}. */
export const ApiHeader = later('ApiHeader');
/** As in `@nestjs/swagger`; heeded where a document is made, see {@link applyTo}. */
export const ApiOperation = later('ApiOperation');
/** As in `@nestjs/swagger`; heeded where a document is made, see {@link applyTo}. */
export const ApiResponse = later('ApiResponse');
/** As in `@nestjs/swagger`; heeded where a document is made, see {@link applyTo}. */
export const ApiSecurity = later('ApiSecurity');
/** As in `@nestjs/swagger`; heeded where a document is made, see {@link applyTo}. */
export const ApiTags = later('ApiTags');

/** Writes down with `@nestjs/swagger` what the decorators of this file have told so far, each once. */
export function applyTo(swagger: Swagger): void {
  for (const one of told.splice(0)) one(swagger);
}
