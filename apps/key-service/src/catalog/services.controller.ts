import {
  Body,
  Controller,
  Get,
  Headers,
  Param,
  Patch,
  Post,
  Query,
  UseInterceptors,
} from '@nestjs/common';
import {
  createServiceBody,
  listServicesQuery,
  listViolationsQuery,
  patchedService,
  patchServiceBody,
  service,
  servicePage,
  slug,
  violationPage,
  type CreateServiceBody,
  type ListServicesQuery,
  type ListViolationsQuery,
  type PatchServiceBody,
  type Service,
} from '#contracts';
import { ApiHeader, ApiOperation, ApiResponse, ApiTags, Repeatable } from '#server';
import { By } from '../access/by.js';
import { Audited, Managed } from '../access/managed.js';
import type { Principal } from '../access/principal.js';
import { SentBy, type Sender } from '../idempotency/once.js';
import { ServiceViolations } from './service-violations.js';
import { Services } from './services.js';
import { LocatedInterceptor } from './located.interceptor.js';
import { TaggedInterceptor } from './tagged.interceptor.js';

/** Services: the audiences of keys. */
@ApiTags('Services')
@Controller('v1/services')
export class ServicesController {
  constructor(
    private readonly services: Services,
    private readonly violations: ServiceViolations,
  ) {}

  @Post()
  @Managed()
  @Repeatable()
  @UseInterceptors(
    TaggedInterceptor,
    new LocatedInterceptor(({ slug }: Service) => `/v1/services/${slug}`),
  )
  @ApiOperation({ summary: 'Add a service' })
  @ApiResponse({ status: 201, standardSchema: service })
  create(
    @Body({ schema: createServiceBody }) body: CreateServiceBody,
    @SentBy() { by, once }: Sender,
  ) {
    return this.services.create(body, by, once);
  }

  @Get()
  @Audited()
  @ApiOperation({ summary: 'List services' })
  @ApiResponse({ status: 200, standardSchema: servicePage })
  list(@Query({ schema: listServicesQuery }) query: ListServicesQuery, @By() by: Principal) {
    return this.services.list(query, by);
  }

  @Get(':slug')
  @Audited()
  @UseInterceptors(TaggedInterceptor)
  @ApiOperation({ summary: 'Read a service' })
  @ApiResponse({ status: 200, standardSchema: service })
  read(@Param('slug', { schema: slug }) name: string, @By() by: Principal) {
    return this.services.read(name, by);
  }

  @Get(':slug/violations')
  @Audited()
  @ApiOperation({ summary: 'List the keys that break the policy of a service as it is now' })
  @ApiResponse({ status: 200, standardSchema: violationPage })
  broken(
    @Param('slug', { schema: slug }) name: string,
    @Query({ schema: listViolationsQuery }) query: ListViolationsQuery,
    @By() by: Principal,
  ) {
    return this.violations.list(name, query, by);
  }

  @Patch(':slug')
  @Managed()
  @UseInterceptors(TaggedInterceptor)
  @ApiOperation({
    summary: 'Change a service: its name, scope catalogue or policy; says which keys break it then',
  })
  @ApiHeader({
    name: 'If-Match',
    required: false,
    description: 'The ETag of the version to change',
  })
  @ApiResponse({ status: 200, standardSchema: patchedService })
  async patch(
    @Param('slug', { schema: slug }) name: string,
    @Body({ schema: patchServiceBody }) body: PatchServiceBody,
    @By() by: Principal,
    @Headers('if-match') ifMatch: string | undefined,
  ) {
    const changed = await this.services.patch(name, body, { by, ifMatch });
    return this.violations.countedIn(changed, by);
  }
}
