import {
  Body,
  Controller,
  Delete,
  Get,
  Headers,
  HttpCode,
  Param,
  Patch,
  Post,
  Query,
  UseInterceptors,
} from '@nestjs/common';
import {
  client,
  clientPage,
  createClientBody,
  listClientsQuery,
  patchClientBody,
  repeatedIssuedClient,
  slug,
  type Client,
  type CreateClientBody,
  type IssuedClient,
  type ListClientsQuery,
  type PatchClientBody,
} from '#contracts';
import { ApiHeader, ApiOperation, ApiResponse, ApiTags, Repeatable } from '#server';
import { ByAdmin, FullAdmin, type By } from '../full-admin.js';
import { SentByAdmin, type Sender } from '../idempotency/once.js';
import { TaggedInterceptor } from '../tagged.interceptor.js';
import { Clients } from './clients.js';

const tagOf = ({ clientId, version }: Client) => ({ version, path: `/v1/clients/${clientId}` });
const TAGGED = new TaggedInterceptor(tagOf);
const TAGGED_ISSUED = new TaggedInterceptor((issued: IssuedClient) => tagOf(issued.client));

/** Service accounts. */
@ApiTags('Clients')
@Controller('v1/clients')
@FullAdmin()
export class ClientsController {
  constructor(private readonly clients: Clients) {}

  @Post()
  @Repeatable()
  @UseInterceptors(TAGGED_ISSUED)
  @ApiOperation({ summary: 'Add a service account; its secret is shown this once' })
  @ApiResponse({ status: 201, standardSchema: repeatedIssuedClient })
  create(
    @Body({ schema: createClientBody }) body: CreateClientBody,
    @SentByAdmin() by: Sender,
  ): Promise<IssuedClient> {
    return this.clients.create(body, by);
  }

  @Get()
  @ApiOperation({ summary: 'List service accounts' })
  @ApiResponse({ status: 200, standardSchema: clientPage })
  list(@Query({ schema: listClientsQuery }) query: ListClientsQuery) {
    return this.clients.list(query);
  }

  @Get(':id')
  @UseInterceptors(TAGGED)
  @ApiOperation({ summary: 'Read a service account' })
  @ApiResponse({ status: 200, standardSchema: client })
  read(@Param('id', { schema: slug }) id: string): Promise<Client> {
    return this.clients.read(id);
  }

  @Patch(':id')
  @UseInterceptors(TAGGED)
  @ApiOperation({ summary: 'Change a service account, enable or disable it' })
  @ApiHeader({
    name: 'If-Match',
    required: false,
    description: 'The ETag of the version to change',
  })
  @ApiResponse({ status: 200, standardSchema: client })
  patch(
    @Param('id', { schema: slug }) id: string,
    @Body({ schema: patchClientBody }) body: PatchClientBody,
    @ByAdmin() by: By,
    @Headers('if-match') ifMatch: string | undefined,
  ): Promise<Client> {
    return this.clients.patch(id, body, { ...by, ifMatch });
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiOperation({ summary: 'Remove a service account' })
  @ApiResponse({ status: 204, description: 'Removed' })
  remove(@Param('id', { schema: slug }) id: string, @ByAdmin() by: By): Promise<void> {
    return this.clients.remove(id, by);
  }

  @Post(':id/secret')
  @HttpCode(200)
  @Repeatable()
  @UseInterceptors(TAGGED_ISSUED)
  @ApiOperation({ summary: 'Replace the secret; the old one is dead at once' })
  @ApiResponse({ status: 200, standardSchema: repeatedIssuedClient })
  replaceSecret(
    @Param('id', { schema: slug }) id: string,
    @SentByAdmin() by: Sender,
  ): Promise<IssuedClient> {
    return this.clients.replaceSecret(id, by);
  }
}
