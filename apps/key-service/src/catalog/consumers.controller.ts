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
  createConsumerBody,
  listConsumersQuery,
  patchConsumerBody,
  consumer,
  consumerPage,
  slug,
  type CreateConsumerBody,
  type ListConsumersQuery,
  type PatchConsumerBody,
  type Consumer,
} from '#contracts';
import { ApiHeader, ApiOperation, ApiResponse, ApiTags, Repeatable } from '#server';
import { By } from '../access/by.js';
import { Audited, Managed } from '../access/managed.js';
import type { Principal } from '../access/principal.js';
import { SentBy, type Sender } from '../idempotency/once.js';
import { Consumers } from './consumers.js';
import { LocatedInterceptor } from './located.interceptor.js';
import { TaggedInterceptor } from './tagged.interceptor.js';
import { PropagationInterceptor } from '../changes/propagation.interceptor.js';

/** Consumers: those who hold keys. */
@ApiTags('Consumers')
@Controller('v1/consumers')
export class ConsumersController {
  constructor(private readonly consumers: Consumers) {}

  @Post()
  @Managed()
  @Repeatable()
  @UseInterceptors(
    TaggedInterceptor,
    new LocatedInterceptor(({ slug }: Consumer) => `/v1/consumers/${slug}`),
  )
  @ApiOperation({ summary: 'Add a consumer' })
  @ApiResponse({ status: 201, standardSchema: consumer })
  create(
    @Body({ schema: createConsumerBody }) body: CreateConsumerBody,
    @SentBy() { by, once }: Sender,
  ) {
    return this.consumers.create(body, by, once);
  }

  @Get()
  @Audited()
  @ApiOperation({ summary: 'List consumers' })
  @ApiResponse({ status: 200, standardSchema: consumerPage })
  list(@Query({ schema: listConsumersQuery }) query: ListConsumersQuery, @By() by: Principal) {
    return this.consumers.list(query, by);
  }

  @Get(':slug')
  @Audited()
  @UseInterceptors(TaggedInterceptor)
  @ApiOperation({ summary: 'Read a consumer' })
  @ApiResponse({ status: 200, standardSchema: consumer })
  read(@Param('slug', { schema: slug }) name: string) {
    return this.consumers.read(name);
  }

  @Patch(':slug')
  @Managed()
  @UseInterceptors(TaggedInterceptor, PropagationInterceptor)
  @ApiOperation({ summary: 'Change a consumer; without `enabled` none of its keys is valid' })
  @ApiHeader({
    name: 'If-Match',
    required: false,
    description: 'The ETag of the version to change',
  })
  @ApiResponse({ status: 200, standardSchema: consumer })
  patch(
    @Param('slug', { schema: slug }) name: string,
    @Body({ schema: patchConsumerBody }) body: PatchConsumerBody,
    @By() by: Principal,
    @Headers('if-match') ifMatch: string | undefined,
  ) {
    return this.consumers.patch(name, body, { by, ifMatch });
  }
}
